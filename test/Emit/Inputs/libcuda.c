// A libcuda.so.1 without a device: it answers, counts what is held, and fails where it is told to. Memory is the
// host's, launches are remembered and run nothing.

#include "libcuda.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Fake fake = {.capability = 90};

static _Thread_local void *stack[8] = {0};
static _Thread_local int depth = 0; // of what was pushed; stack[depth] is current

// Counts the call and gives the result that was asked for.
static int called(const char *name) {
  if (fake.fail_name && strcmp(fake.fail_name, name) == 0 && ++fake.fail_seen == fake.fail_call)
    return fake.fail_result;
  return 0;
}
#define CALLED                                                                                                         \
  do {                                                                                                                 \
    int result = called(__func__);                                                                                     \
    if (result)                                                                                                        \
      return result;                                                                                                   \
  } while (0)
#define NEEDS_CONTEXT                                                                                                  \
  CALLED;                                                                                                              \
  if (!stack[depth])                                                                                                   \
  return 201

int fake_depth(void) { return depth; }

int cuInit(unsigned flags) {
  CALLED;
  return flags ? 1 : 0;
}
int cuDriverGetVersion(int *version) {
  CALLED;
  *version = fake.version ? fake.version : 12030;
  return 0;
}
int cuDeviceGet(int *device, int ordinal) {
  CALLED;
  *device = ordinal;
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  CALLED;
  *value = attribute == 75 ? fake.capability / 10 : attribute == 76 ? fake.capability % 10 : 0;
  return device ? 101 : 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
  CALLED;
  ++fake.retained;
  *context = &fake.primary;
  return device ? 101 : 0;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
  CALLED;
  --fake.retained;
  return device ? 101 : 0;
}
int cuCtxGetCurrent(void **context) {
  CALLED;
  *context = stack[depth];
  return 0;
}
int cuCtxSetCurrent(void *context) {
  CALLED;
  stack[depth] = context;
  return 0;
}
int cuCtxGetDevice(int *device) {
  NEEDS_CONTEXT;
  *device = 0;
  return 0;
}
int cuCtxPushCurrent_v2(void *context) {
  CALLED;
  if (!context)
    return 201;
  stack[++depth] = context;
  return 0;
}
int cuCtxPopCurrent_v2(void **context) {
  *context = stack[depth];
  stack[depth--] = 0;
  CALLED;
  return 0;
}
int cuModuleLoadDataEx(void **module, const char *image, unsigned options, int *keys, void **values) {
  NEEDS_CONTEXT;
  fake.is_ptx = strstr(image, ".version") != 0; // a cubin has a zero before any letters
  ++fake.modules;
  *module = &fake.modules;
  return options || keys || values;
}
int cuModuleUnload(void *module) {
  NEEDS_CONTEXT;
  --fake.modules;
  return module == &fake.modules ? 0 : 400;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  NEEDS_CONTEXT;
  static char *names[] = {"kernel", "kernel_1"};
  for (int i = 0; i < 2; ++i)
    if (strcmp(name, names[i]) == 0) {
      *function = names[i];
      return module == &fake.modules ? 0 : 400;
    }
  return 500;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
  NEEDS_CONTEXT;
  if (attribute != 8)
    return 1;
  fake.shared_of = function;
  fake.shared = value;
  return 0;
}
int cuMemAlloc_v2(void **address, size_t bytes) {
  NEEDS_CONTEXT;
  *address = aligned_alloc(256, (bytes + 255) / 256 * 256);
  ++fake.allocations;
  return 0;
}
#ifndef WITHOUT_MEMFREE
int cuMemFree_v2(void *address) {
  NEEDS_CONTEXT;
  free(address);
  --fake.allocations;
  return 0;
}
#endif
int cuMemcpyHtoD_v2(void *to, const void *from, size_t bytes) {
  NEEDS_CONTEXT;
  memcpy(to, from, bytes);
  return 0;
}
int cuStreamSynchronize(void *stream) {
  NEEDS_CONTEXT;
  return stream ? 400 : 0;
}

int cuTensorMapEncodeTiled(struct Map *map, int element, unsigned rank, void *tensor, const uint64_t *sizes,
                           const uint64_t *strides, const unsigned *box, const unsigned *steps, int interleave,
                           int swizzle, int promotion, int fill) {
  CALLED;
  *map = (struct Map){tensor,
                      {sizes[0], sizes[1]},
                      strides[0],
                      {box[0], box[1]},
                      {steps[0], steps[1]},
                      element,
                      rank,
                      interleave,
                      swizzle,
                      promotion,
                      fill};
  fake.maps++;
  return (uintptr_t)map % 64 ? 1 : 0;
}

static int launch(void *function, const unsigned *size, unsigned shared, void *stream, void **parameters,
                  unsigned cluster, unsigned overlaps) {
  struct Launch *launch = &fake.launches[fake.launched++];
  launch->name = function;
  memcpy(launch->size, size, sizeof launch->size);
  launch->shared = shared;
  launch->cluster = cluster;
  launch->overlaps = overlaps;
  launch->stream = stream;
  for (int i = 0; i < 19; ++i)
    launch->parameters[i] = *(uint64_t *)parameters[i];
  if (strcmp(launch->name, "kernel_1") == 0)
    launch->map = *(struct Map *)parameters[20];
  return 0;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **parameters, void **extra) {
  NEEDS_CONTEXT;
  unsigned size[] = {gx, gy, gz, bx, by, bz};
  return extra ? 1 : launch(function, size, shared, stream, parameters, 0, 0);
}

struct Config {
  unsigned size[6], shared;
  void *stream;
  struct Attribute {
    int id;
    _Alignas(8) unsigned value[16];
  } *attributes;
  unsigned count;
};
int cuLaunchKernelEx(const struct Config *config, void *function, void **parameters, void **extra) {
  NEEDS_CONTEXT;
  const struct Attribute *cluster = config->attributes, *overlap = config->count > 1 ? cluster + 1 : 0;
  if (config->count < 1 || config->count > 2 || cluster->id != 4 || (overlap && overlap->id != 6) || extra)
    return 1;
  return launch(function, config->size, config->shared, config->stream, parameters, cluster->value[0],
                overlap ? overlap->value[0] : 0);
}
