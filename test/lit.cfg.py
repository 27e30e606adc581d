# lit configuration of all tests. Run after a build:
#
#   ninja -C build/release check-qlow               everything
#   lit test/Dialect/types.mlir                     one file (or folder); build/release is what is tested
#   lit --param build=build/debug test/Dialect      another build
#
# Tools of the build, LLVM's tools and a python3 that has numpy are on PATH; a test names them plainly. Folders Inputs,
# golden and Models hold what tests read. A test can REQUIRES: cpu-FLAG, FLAG as /proc/cpuinfo spells it, disk-8GiB where
# so much is free, and optimized, which a debug build is not.

import os
import shutil

import lit.formats

here = os.path.dirname(os.path.abspath(__file__))

if not hasattr(config, "qlow_build"):
    # Called as plain lit: the site configuration of the build loads this file again with its paths set.
    build = os.path.abspath(lit_config.params.get("build", os.path.join(here, "..", "build", "release")))
    site = os.path.join(build, "test", "lit.site.cfg.py")
    if not os.path.exists(site):
        lit_config.fatal("expected a build in %s: run cmake --preset release and ninja -C build/release" % build)
    lit_config.load_config(config, site)
else:
    config.name = "qlow"
    config.test_format = lit.formats.ShTest(execute_external=False)
    config.suffixes = [".mlir", ".test", ".py"]
    config.excludes = ["lit.cfg.py", "lit.site.cfg.py", "CMakeLists.txt", "Inputs", "golden", "Models"]
    config.test_source_root = here
    config.test_exec_root = os.path.join(config.qlow_build, "test")

    path = [os.path.join(config.qlow_build, "bin"), config.llvm_tools, os.path.dirname(config.python)]
    config.environment["PATH"] = os.pathsep.join(path + [config.environment.get("PATH", "")])
    config.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    # For builds with sanitizers. LLVM itself is built without: its allocators poison memory in our code that they do not
    # unpoison in theirs, its signal stack is not AddressSanitizer's to free, and it leaks on purpose.
    sanitizers = {"ASAN_OPTIONS": "allow_user_poisoning=0:use_sigaltstack=0:detect_leaks=0",
                  "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
    for name, value in sanitizers.items():
        config.environment[name] = os.environ.get(name, value)
    config.substitutions.append(("%models", os.path.join(here, "Models")))
    config.substitutions.append(("%include", os.path.join(here, "..", "include")))
    config.substitutions.append(("%build", config.qlow_build))

    if os.path.exists("/proc/cpuinfo"):
        flags = [line.split(":")[1] for line in open("/proc/cpuinfo") if line.startswith("flags")]
        config.available_features.update("cpu-" + flag for flag in (flags[0].split() if flags else []))
    if config.build_type != "Debug":
        config.available_features.add("optimized")
    if shutil.disk_usage(config.qlow_build).free >= 8 << 30:
        config.available_features.add("disk-8GiB")
