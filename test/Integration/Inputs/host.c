//===- host.c - a host program for the emulated driver ----------------------===//
//
// Opens libcuda.so.1 as qlow's objects do, scales an array with one kernel and copies a tile through a tensor map with
// another. Prints the name of the first error and of the call that returned it.
//
//===----------------------------------------------------------------------===//

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char kPtx[] =
    ".version 8.1\n.target sm_90a\n.address_size 64\n"
    ".visible .global .align 4 .f32 factor = 0f40000000;\n"
    ".visible .entry scale(.param .u64 x, .param .u64 y, .param .u32 n) {\n"
    "  .reg .b32 i, m, b; .reg .b64 p, q, at; .reg .f32 v, f; .reg .pred out;\n"
    "  ld.param.b64 p, [x]; ld.param.b64 q, [y]; ld.param.b32 m, [n];\n"
    "  mov.u32 i, %tid.x; mov.u32 b, %ctaid.x; mad.lo.u32 i, b, 64, i; setp.ge.u32 out, i, m; @out bra END;\n"
    "  mul.wide.u32 at, i, 4; add.s64 p, p, at; add.s64 q, q, at;\n"
    "  ld.global.f32 v, [p]; ld.global.f32 f, [factor]; mul.f32 v, v, f; st.global.f32 [q], v;\n"
    "END: ret; }\n"
    ".extern .shared .align 128 .b8 tile[];\n"
    ".visible .entry copy(.param .align 64 .b8 map[128], .param .u64 y) .reqntid 32, 1, 1 {\n"
    "  .shared .align 8 .b8 bar[8]; .reg .b32 t, b, s; .reg .b64 m, q, at; .reg .pred first, done;\n"
    "  ld.param.b64 q, [y]; mov.b64 m, map; cvta.param.u64 m, m; mov.u32 t, %tid.x; mov.u32 b, bar; mov.u32 s, tile;\n"
    "  setp.eq.u32 first, t, 0; @first mbarrier.init.shared.b64 [b], 1; bar.sync 0; @!first bra W;\n"
    "  mbarrier.arrive.expect_tx.shared.b64 _, [b], 128;\n"
    "  cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [s], [m, {4, 2}], [b];\n"
    "W: mbarrier.try_wait.parity.shared.b64 done, [b], 0; @!done bra W;\n"
    "  shl.b32 t, t, 2; add.u32 s, s, t; ld.shared.b32 b, [s]; cvt.u64.u32 at, t; add.s64 q, q, at; st.global.b32 [q], "
    "b; ret; }\n";

static void *library;
static int call(const char *name, int result) {
  if (result != 0) {
    int (*name_of)(int, const char **) = (int (*)(int, const char **))dlsym(library, "cuGetErrorName");
    const char *text = "?";
    name_of(result, &text);
    printf("%s: %s\n", name, text);
    exit(1);
  }
  return result;
}
#define CALL(name, types, ...) call(#name, ((int(*) types)dlsym(library, #name))(__VA_ARGS__))

typedef uint64_t Address;
enum { N = 100 };

int main(int argc, char **argv) {
  library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return puts(dlerror()), 1;
  int device, major, processors;
  void *context, *module, *scale, *copy, *stream;
  CALL(cuInit, (unsigned), 0);
  CALL(cuDeviceGet, (int *, int), &device, 0);
  CALL(cuDeviceGetAttribute, (int *, int, int), &major, 75, device);
  CALL(cuDeviceGetAttribute, (int *, int, int), &processors, 16, device);
  CALL(cuDevicePrimaryCtxRetain, (void **, int), &context, device);
  CALL(cuCtxSetCurrent, (void *), context);
  CALL(cuModuleLoadData, (void **, const void *), &module, kPtx);
  CALL(cuModuleGetFunction, (void **, void *, const char *), &scale, module, "scale");
  CALL(cuModuleGetFunction, (void **, void *, const char *), &copy, module, "copy");
  CALL(cuStreamCreate, (void **, unsigned), &stream, 0);

  float x[N], y[N];
  for (int i = 0; i < N; ++i)
    x[i] = (float)i, y[i] = -1;
  Address dx, dy, factor;
  CALL(cuMemAlloc_v2, (Address *, size_t), &dx, sizeof x);
  CALL(cuMemAlloc_v2, (Address *, size_t), &dy, sizeof y);
  CALL(cuModuleGetGlobal_v2, (Address *, size_t *, void *, const char *), &factor, NULL, module, "factor");
  CALL(cuMemcpyHtoD_v2, (Address, const void *, size_t), dx, x, sizeof x);
  CALL(cuMemcpyHtoD_v2, (Address, const void *, size_t), factor, &(float){3}, 4);

  int n = argc > 1 && !strcmp(argv[1], "beyond") ? N + 1 : N;
  void *parameters[] = {&dx, &dy, &n};
  CALL(cuLaunchKernel, (void *, int, int, int, int, int, int, int, void *, void **, void **), scale, 2, 1, 1, 64, 1, 1,
       0, stream, parameters, NULL);
  CALL(cuMemcpyDtoHAsync_v2, (void *, Address, size_t, void *), y, dy, sizeof y, stream);
  printf("before the wait: %g\n", y[10]);
  CALL(cuStreamSynchronize, (void *), stream);
  printf("after it: %g %g\n", y[10], y[N - 1]);

  // Rows 2 .. 9 of a 10 x 8 tensor, columns 4 .. 7.
  _Alignas(64) char map[128];
  uint64_t dims[] = {8, 10}, strides[] = {32};
  uint32_t box[] = {4, 8}, steps[] = {1, 1};
  CALL(cuTensorMapEncodeTiled,
       (void *, int, int, Address, uint64_t *, uint64_t *, uint32_t *, uint32_t *, int, int, int, int), map, 7, 2, dx,
       dims, strides, box, steps, 0, 0, 0, 0);
  struct {
    unsigned grid[3], block[3], shared;
    void *stream, *attributes;
    unsigned count;
  } config = {{1, 1, 1}, {32, 1, 1}, 128, stream, NULL, 0};
  void *more[] = {map, &dy};
  CALL(cuLaunchKernelEx, (void *, void *, void **, void **), &config, copy, more, NULL);
  CALL(cuMemcpyDtoH_v2, (void *, Address, size_t), y, dy, 128);
  printf("tile: %g %g %g, compute capability %d, %d multiprocessors\n", y[0], y[3], y[31], major, processors);

  // What else a host object may ask for.
  int version, count, blocks, memory = 0;
  const char *text;
  void *now, *popped, *same, *other;
  CALL(cuDriverGetVersion, (int *), &version);
  CALL(cuDeviceGetCount, (int *), &count);
  CALL(cuCtxGetCurrent, (void **), &now);
  CALL(cuCtxPushCurrent_v2, (void *), context);
  CALL(cuCtxGetDevice, (int *), &device);
  CALL(cuCtxPopCurrent_v2, (void **), &popped);
  CALL(cuPointerGetAttribute, (void *, int, Address), &memory, 2, dx + 8);
  CALL(cuFuncSetAttribute, (void *, int, int), copy, 8, 100000);
  CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor, (int *, void *, int, size_t), &blocks, copy, 32, 100000);
  CALL(cuGetErrorString, (int, const char **), 2, &text);
  CALL(cuGetProcAddress_v2, (const char *, void **, int, uint64_t, int *), "cuMemAlloc", &same, 12000, 0, NULL);
  CALL(cuLibraryLoadData, (void **, const void *, void *, void *, int, void *, void *, int), &other, kPtx, NULL, NULL,
       0, NULL, NULL, 0);
  CALL(cuLibraryUnload, (void *), other);
  CALL(cuMemsetD8Async, (Address, int, size_t, void *), dy, 0, sizeof y, stream);
  CALL(cuMemcpyHtoDAsync_v2, (Address, const void *, size_t, void *), dy + 4, x + 5, 4, stream);
  CALL(cuMemcpyDtoHAsync_v2, (void *, Address, size_t, void *), y, dy, sizeof y, stream);
  CALL(cuCtxSynchronize, (void));
  printf("rest: %d %d %d %d %d, %s, %g %g\n", version >= 12000, count > 0, now == context && popped == context, memory,
         blocks, text, y[0], y[1]);
  printf("cuMemAlloc: %s\n", same ? "found" : "not found");

  CALL(cuStreamDestroy_v2, (void *), stream);
  CALL(cuMemFree_v2, (Address), dx);
  CALL(cuMemFree_v2, (Address), dy);
  CALL(cuModuleUnload, (void *), module);
  CALL(cuDevicePrimaryCtxRelease_v2, (int), device);
  return 0;
}
