# qlow_library(NAME SOURCES ... USES ...): a static library of one room, lib/NAME, that may use the rooms in USES.
# qlow_tool(NAME SOURCES ... USES ...): a program in bin/ that links those rooms and exactly the shared MLIR and LLVM.

add_library(qlow_flags INTERFACE)
target_compile_options(qlow_flags INTERFACE -Wall -Wextra -Werror -Wno-unused-parameter)
target_include_directories(qlow_flags INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
target_include_directories(qlow_flags SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
target_compile_definitions(qlow_flags INTERFACE ${LLVM_DEFINITIONS})
if(QLOW_SANITIZE)
  target_compile_options(qlow_flags INTERFACE -fsanitize=${QLOW_SANITIZE} -fno-omit-frame-pointer -fno-sanitize=vptr,function)
  target_link_options(qlow_flags INTERFACE -fsanitize=${QLOW_SANITIZE})
endif()

# MLIR's headers take most of a compilation: they are parsed once. Rooms still include what they use.
file(WRITE ${PROJECT_BINARY_DIR}/empty.cpp "")
add_library(qlow_precompiled OBJECT ${PROJECT_BINARY_DIR}/empty.cpp)
target_link_libraries(qlow_precompiled PUBLIC qlow_flags)
target_compile_options(qlow_precompiled PRIVATE -Xclang -fno-pch-timestamp)
target_precompile_headers(qlow_precompiled PRIVATE ${PROJECT_SOURCE_DIR}/cmake/Precompiled.h)

function(qlow_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;USES" ${ARGN})
  add_library(Qlow${name} STATIC ${arg_SOURCES})
  list(TRANSFORM arg_USES PREPEND Qlow)
  target_link_libraries(Qlow${name} PUBLIC qlow_flags ${arg_USES})
  if(NOT name STREQUAL "Formats")
    add_dependencies(Qlow${name} QlowIncGen)
    target_precompile_headers(Qlow${name} REUSE_FROM qlow_precompiled)
  endif()
endfunction()

function(qlow_tool name)
  cmake_parse_arguments(arg "" "" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  list(TRANSFORM arg_USES PREPEND Qlow)
  target_link_libraries(${name} PRIVATE ${arg_USES} MLIR LLVM)
  target_link_options(${name} PRIVATE -fuse-ld=lld -Wl,--as-needed)
  set_property(GLOBAL APPEND PROPERTY QLOW_TOOLS ${name})
endfunction()
