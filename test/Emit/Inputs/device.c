// What a program may expect of a device object, shown on a driver that has no device (libcuda.c).

#include "libcuda.h"
#include "model.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      printf("line %d: expected %s\n", __LINE__, #condition);                                                          \
      ++failures;                                                                                                      \
    }                                                                                                                  \
  } while (0)

static int failures = 0;
static _Alignas(256) char x[256], y[256], workspace[512];

static model_f_args arguments(const model_device *device) {
  model_f_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.m = 2;
  args.x = (const float *)x;
  args.y = (float *)y;
  args.workspace = workspace;
  args.workspace_size = sizeof workspace;
  args.device = device;
  args.stream = x;
  return args;
}

static int call(const model_device *device, int64_t m) {
  model_f_args args = arguments(device);
  args.m = m;
  args.workspace_size = (size_t)1 << 62;
  return model_f(&args);
}

static void reset(void) {
  fake.launched = fake.fail_seen = fake.maps = fake.version = 0;
  fake.fail_name = 0;
}

static int holdsNothing(void) {
  void *current = 0;
  cuCtxGetCurrent(&current);
  return !fake.retained && !fake.modules && !fake.allocations && !fake_depth() && !current;
}

/// Launches have the sizes, parameters and attributes that the model says.
static void checkLaunches(void) {
  model_device device;
  reset();
  CHECK(model_load(&device, NULL) == MODEL_OK);
  CHECK(fake.retained == 1 && fake.allocations == 1);
  CHECK(strcmp(fake.shared_of, "kernel_1") == 0 && fake.shared == 65536);
  CHECK(call(&device, 2) == MODEL_OK);
  CHECK(fake.launched == 2);
  const struct Launch *first = &fake.launches[0], *second = &fake.launches[1];
  CHECK(strcmp(first->name, "kernel") == 0 && strcmp(second->name, "kernel_1") == 0);
  CHECK(first->size[0] == 2 && first->size[1] == 1 && first->size[3] == 64 && first->cluster == 0 && !first->overlaps);
  CHECK(second->size[0] == 4 && second->cluster == 2 && second->shared == 65536 && second->stream == x);
  CHECK(second->overlaps == 1); // it waits itself
  // memref<?x64xf32>: pointer twice, offset, two sizes, two strides.
  const uint64_t expected[] = {(uintptr_t)x, (uintptr_t)x, 0, 2, 64, 64, 1};
  CHECK(memcmp(first->parameters, expected, sizeof expected) == 0);
  const float *w = (const float *)(uintptr_t)first->parameters[8], *v = (const float *)(uintptr_t)second->parameters[8];
  CHECK((uintptr_t)w % 256 == 0 && w[0] == 1 && w[63] == 1 && (uintptr_t)v % 256 == 0 && v[0] == 2);
  // The map is of the sum in the workspace, innermost first: [64, 2], rows of 256 bytes, boxes of 32 x 8.
  const struct Map map = {workspace, {64, 2}, 256, {32, 8}, {1, 1}, 7, 2, 0, 3, 3, 0};
  CHECK(memcmp(&second->map, &map, sizeof map) == 0);
  CHECK(first->parameters[13] == (uintptr_t)workspace && second->parameters[13] == (uintptr_t)y);
  CHECK(model_unload(&device) == MODEL_OK);
  CHECK(holdsNothing());
  CHECK(model_unload(&device) == MODEL_E_DEVICE + 256 * 3);
}

/// An older driver could not put a launch that overlaps into a graph.
static void checkOldDriver(void) {
  model_device device;
  reset();
  fake.version = 12020;
  CHECK(model_load(&device, NULL) == MODEL_OK && call(&device, 2) == MODEL_OK);
  CHECK(fake.launched == 2 && fake.launches[1].cluster == 2 && !fake.launches[1].overlaps);
  CHECK(model_unload(&device) == MODEL_OK && holdsNothing());
}

/// An empty grid launches nothing; one beyond the driver's limits is an error, and so is all behind it.
static void checkSizes(void) {
  model_device device;
  reset();
  CHECK(model_load(&device, NULL) == MODEL_OK);
  CHECK(call(&device, 0) == MODEL_OK && fake.launched == 0 && fake.maps == 0);
  CHECK(call(&device, 1500000000) == MODEL_E_LAUNCH + 256 * 1 && fake.launched == 1);
  CHECK(call(&device, 2000000001) % 256 == MODEL_E_SIZE);
  CHECK(model_f_workspace(3) == 3 * 256 && model_f_workspace(-1) == -1);
  CHECK(model_unload(&device) == MODEL_OK);
}

/// Arguments are checked before the driver is asked for anything.
static void checkArguments(void) {
  model_device device, other;
  memset(&other, 0, sizeof other);
  reset();
  CHECK(model_load(&device, NULL) == MODEL_OK);
  model_f_args args = arguments(NULL);
  CHECK(model_f(&args) % 256 == MODEL_E_NULL && strstr(model_strerror(model_f(&args)), "device must not be NULL"));
  args = arguments(&other);
  CHECK(model_f(&args) == MODEL_E_DEVICE + 256 * 3);
  args = arguments(&device);
  args.workspace = workspace + 64;
  CHECK(model_f(&args) % 256 == MODEL_E_ALIGN &&
        strstr(model_strerror(model_f(&args)), "workspace must be aligned to 256"));
  args = arguments(&device);
  args.x = (const float *)(x + 8);
  CHECK(model_f(&args) % 256 == MODEL_E_ALIGN &&
        strstr(model_strerror(model_f(&args)), "x must be aligned to 16 bytes"));
  args = arguments(&device);
  args.y = (float *)(y + 4);
  CHECK(model_f(&args) % 256 == MODEL_E_ALIGN);
  args = arguments(&device);
  args.workspace_size = 511;
  CHECK(model_f(&args) % 256 == MODEL_E_WORKSPACE);
  CHECK(fake.launched == 0 && fake_depth() == 0);
  CHECK(model_load(NULL, NULL) == MODEL_E_NULL && model_unload(NULL) == MODEL_E_NULL);
  CHECK(model_load(&other, workspace + 8) == MODEL_E_ALIGN && model_adopt(&other, NULL) == MODEL_E_NULL);
  CHECK(model_unload(&device) == MODEL_OK && holdsNothing());
}

/// Weights in the caller's memory, and another state that adopts them.
static void checkWeights(void) {
  static _Alignas(256) float memory[128];
  model_device device, other;
  reset();
  CHECK(model_weights_size() == 260 && sizeof memory >= 260);
  CHECK(model_load(&device, memory) == MODEL_OK && fake.allocations == 0 && memory[63] == 1 && memory[64] == 2);
  memory[0] = 5;
  CHECK(model_adopt(&other, memory) == MODEL_OK && fake.allocations == 0 && memory[0] == 5);
  CHECK(call(&other, 1) == MODEL_OK && fake.launches[0].parameters[8] == (uintptr_t)memory);
  CHECK(model_unload(&device) == MODEL_OK && model_unload(&other) == MODEL_OK && holdsNothing());
}

static void *callAnew(void *device) {
  void *before = device, *after = device;
  cuCtxGetCurrent(&before);
  int code = call(device, 1);
  cuCtxGetCurrent(&after);
  return before || after || fake_depth() ? "context" : code ? "code" : NULL;
}

/// A context of the caller's is used and left alone; threads without one may call.
static void checkContexts(void) {
  int mine;
  void *current = NULL, *said = "";
  model_device device;
  pthread_t thread;
  reset();
  cuCtxSetCurrent(&mine);
  CHECK(model_load(&device, NULL) == MODEL_OK && fake.retained == 0);
  pthread_create(&thread, NULL, callAnew, &device);
  pthread_join(thread, &said);
  CHECK(said == NULL && fake.launched == 2);
  CHECK(model_unload(&device) == MODEL_OK);
  cuCtxGetCurrent(&current);
  CHECK(current == &mine);
  cuCtxSetCurrent(NULL);
  CHECK(holdsNothing());
}

/// Every call of the driver fails once: its result comes back with its kind, and nothing is left behind.
static void checkFaults(void) {
  static const struct {
    const char *name;
    int kind, calls, gives_back; // calls: of load, an entry, unload
  } functions[] = {
      {"cuInit", MODEL_E_DEVICE, 1, 0},
      {"cuDriverGetVersion", MODEL_E_DEVICE, 1, 0},
      {"cuDeviceGet", MODEL_E_DEVICE, 1, 0},
      {"cuDeviceGetAttribute", MODEL_E_DEVICE, 2, 0},
      {"cuDevicePrimaryCtxRetain", MODEL_E_DEVICE, 1, 0},
      {"cuDevicePrimaryCtxRelease_v2", MODEL_E_DEVICE, 1, 1},
      {"cuCtxGetCurrent", MODEL_E_DEVICE, 2, 1},
      {"cuCtxSetCurrent", MODEL_E_DEVICE, 2, 1},
      {"cuCtxPushCurrent_v2", MODEL_E_DEVICE, 2, 1},
      {"cuCtxPopCurrent_v2", MODEL_E_DEVICE, 2, 1},
      {"cuModuleLoadDataEx", MODEL_E_LOAD, 1, 0},
      {"cuModuleUnload", MODEL_E_DEVICE, 1, 1},
      {"cuModuleGetFunction", MODEL_E_LOAD, 2, 0},
      {"cuFuncSetAttribute", MODEL_E_LOAD, 1, 0},
      {"cuMemAlloc_v2", MODEL_E_MEMORY, 1, 0},
      {"cuMemFree_v2", MODEL_E_DEVICE, 1, 1},
      {"cuMemcpyHtoD_v2", MODEL_E_MEMORY, 1, 0},
      {"cuStreamSynchronize", MODEL_E_MEMORY, 1, 0},
      {"cuTensorMapEncodeTiled", MODEL_E_LAUNCH, 1, 0},
      {"cuLaunchKernel", MODEL_E_LAUNCH, 1, 0},
      {"cuLaunchKernelEx", MODEL_E_LAUNCH, 1, 0},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; ++i)
    for (int number = 1; number <= functions[i].calls; ++number) {
      model_device device;
      reset();
      fake.fail_name = functions[i].name, fake.fail_call = number, fake.fail_result = 719;
      int code = model_load(&device, NULL);
      if (!code) {
        code = call(&device, 2);
        int end = model_unload(&device);
        code = code ? code : end;
      }
      if (code != functions[i].kind + 256 * 719) {
        printf("%s, call %d: expected code %d + 256 * 719, found %d + 256 * %d\n", functions[i].name, number,
               functions[i].kind, code % 256, code / 256);
        ++failures;
      }
      fake.fail_name = NULL;
      CHECK(strstr(model_strerror(code), "CUDA_ERROR_LAUNCH_FAILED") && strlen(model_strerror(code + 256 * 5000)) > 20);
      if (functions[i].gives_back)
        fake.retained = fake.modules = fake.allocations = 0, cuCtxSetCurrent(NULL);
      CHECK(holdsNothing());
      CHECK(number < functions[i].calls || fake.fail_seen == number);
    }
  model_device device;
  reset();
  fake.fail_name = "cuModuleLoadDataEx", fake.fail_call = 1, fake.fail_result = 2;
  CHECK(model_load(&device, NULL) == MODEL_E_MEMORY + 256 * 2 && holdsNothing());
  model_f_args args = arguments(&device);
  CHECK(model_f(&args) == MODEL_E_DEVICE + 256 * 3); // what failed to load is not loaded
}

/// The image for a device: PTX of an architecture's own features runs on that one alone.
static void checkImages(void) {
  model_device device;
  reset();
  for (int capability = 75; capability <= 120; ++capability) {
    fake.capability = capability;
    int code = model_load(&device, NULL);
    CHECK(capability == 90 ? code == MODEL_OK && fake.is_ptx : code == MODEL_E_DEVICE + 256 * 209);
    if (!code)
      CHECK(model_unload(&device) == MODEL_OK);
    CHECK(holdsNothing());
  }
  fake.capability = 90;
}

int main(void) {
  checkLaunches();
  checkOldDriver();
  checkSizes();
  checkArguments();
  checkWeights();
  checkContexts();
  checkFaults();
  checkImages();
  printf("%d failures\n", failures);
  return failures != 0;
}
