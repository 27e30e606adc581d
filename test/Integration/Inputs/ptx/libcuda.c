//===- libcuda.c - an emulated CUDA driver ----------------------------------===//
//
// What a host program dlopens as libcuda.so.1 where there is no GPU: modules are PTX text, kernels run in the emulator,
// a Python process (server.py) at the other end of a socket. Device memory is a file that both map: at device addresses
// the program can not touch it, as on a GPU, and this library copies through a second mapping. Work on a stream is done
// as late as CUDA allows: when somebody waits.
//
//   QLOW_CUDA_FAIL=cuMemAlloc:2:2,...    the 2nd call of cuMemAlloc returns 2; names without _v2
//   QLOW_CUDA_TRACE=FILE                 appends a line for each call
//   QLOW_CUDA_CAPABILITY=90              compute capability, default 90
//   QLOW_CUDA_DEVICES=1                  number of devices; 0: cuInit says so
//   QLOW_CUDA_MULTIPROCESSORS=8
//
// Built by the tests: cc -shared -fPIC -DSERVER="..." -DPYTHON="..." libcuda.c -o libcuda.so.1
//
//===----------------------------------------------------------------------===//

#include "connection.h"

// ---- handles and state ----------------------------------------------------------------------------------------------

typedef struct {
  uint64_t id;
} Module;
typedef struct {
  uint64_t id, static_shared;
  uint32_t count;
  uint64_t sizes[512];
  int largest_shared;
} Function;
typedef struct {
  int unused;
} Stream;
typedef struct {
  int device;
} Context;

static Context primary[8];
static int initialized, retained;
static __thread Context *stack[16];
static __thread int depth;
static CUresult sticky; // what a kernel has done wrong

// Work that was put on streams, in the order in which it was.
typedef struct Work {
  struct Work *next;
  Stream *stream;
  enum { KERNEL, TO_DEVICE, TO_HOST, ON_DEVICE, FILL } kind;
  uint64_t launch, to, from, size;
  void *host;
} Work;
static Work *first, **last = &first;

static void do_work(Work *work) {
  switch (work->kind) {
  case KERNEL: {
    CUresult status = ask1(RUN, work->launch).status;
    sticky = sticky ? sticky : status;
    break;
  }
  case TO_DEVICE:
    memcpy(arena + (work->to - base), work->host, work->size);
    break;
  case TO_HOST:
    memcpy(work->host, arena + (work->from - base), work->size);
    break;
  case ON_DEVICE:
    memmove(arena + (work->to - base), arena + (work->from - base), work->size);
    break;
  case FILL:
    memset(arena + (work->to - base), (int)work->from, work->size);
    break;
  }
  if (work->kind != KERNEL && work->kind != TO_HOST)
    ask2(WRITTEN, work->to, work->size);
}

// Everything up to the last work of a stream; NULL is the stream that all others wait for.
static CUresult finish(Stream *stream) {
  int left = 0;
  for (Work *work = first; work; work = work->next)
    left += !stream || work->stream == stream || !work->stream;
  while (left) {
    Work *work = first;
    left -= !stream || work->stream == stream || !work->stream;
    first = work->next;
    if (!first)
      last = &first;
    do_work(work);
    free(work);
  }
  return sticky;
}

static CUresult enqueue(Work work) {
  *last = malloc(sizeof work);
  work.next = NULL;
  **last = work;
  last = &(*last)->next;
  return sticky;
}

#define EXPORT __attribute__((visibility("default")))
// A driver function: BODY runs under the lock; NEEDS_* are its preconditions.
#define DRIVER(name, parameters, ...)                                                                                  \
  static CUresult name##_body parameters;                                                                              \
  EXPORT CUresult name parameters {                                                                                    \
    pthread_mutex_lock(&lock);                                                                                         \
    CUresult result = enter(#name);                                                                                    \
    if (result == SUCCESS)                                                                                             \
      result = name##_body(__VA_ARGS__);                                                                               \
    pthread_mutex_unlock(&lock);                                                                                       \
    return result;                                                                                                     \
  }                                                                                                                    \
  static CUresult name##_body parameters
#define NEEDS_INIT                                                                                                     \
  if (!initialized)                                                                                                    \
  return NOT_INITIALIZED
#define NEEDS_CONTEXT                                                                                                  \
  NEEDS_INIT;                                                                                                          \
  if (!depth || !stack[depth - 1])                                                                                     \
  return INVALID_CONTEXT
#define NEEDS(condition)                                                                                               \
  if (!(condition))                                                                                                    \
  return INVALID_VALUE

// ---- devices and contexts -------------------------------------------------------------------------------------------

DRIVER(cuInit, (unsigned flags), flags) {
  NEEDS(flags == 0);
  if (number("QLOW_CUDA_DEVICES", 1) < 1)
    return NO_DEVICE;
  if (peer < 0) {
    CUresult result = start();
    if (result != SUCCESS)
      return result;
  }
  initialized = 1;
  return SUCCESS;
}
DRIVER(cuDriverGetVersion, (int *version), version) {
  NEEDS(version);
  *version = 13000;
  return SUCCESS;
}
DRIVER(cuDeviceGetCount, (int *count), count) {
  NEEDS_INIT;
  NEEDS(count);
  *count = number("QLOW_CUDA_DEVICES", 1);
  return SUCCESS;
}
DRIVER(cuDeviceGet, (CUdevice * device, int ordinal), device, ordinal) {
  NEEDS_INIT;
  if (ordinal < 0 || ordinal >= number("QLOW_CUDA_DEVICES", 1) || ordinal >= 8)
    return INVALID_DEVICE;
  *device = ordinal;
  return SUCCESS;
}
DRIVER(cuDeviceGetName, (char *name, int length, CUdevice device), name, length, device) {
  NEEDS_INIT;
  snprintf(name, length, "PTX emulator");
  return SUCCESS;
}
/// Bytes of shared memory that a block may have.
static int most_shared(void) {
  int capability = number("QLOW_CUDA_CAPABILITY", 90);
  return capability == 75 ? 65536 : capability == 80 ? 166912 : capability == 90 || capability == 100 ? 232448 : 101376;
}
DRIVER(cuDeviceGetAttribute, (int *value, int attribute, CUdevice device), value, attribute, device) {
  NEEDS_INIT;
  int capability = number("QLOW_CUDA_CAPABILITY", 90), hopper = capability >= 90;
  const int values[][2] = {{1, 1024}, // CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK and so on, by their numbers in cuda.h
                           {2, 1024},
                           {3, 1024},
                           {4, 64},
                           {5, 2147483647},
                           {6, 65535},
                           {7, 65535},
                           {8, 49152},
                           {10, 32},
                           {12, 65536},
                           {13, 1980000},
                           {16, number("QLOW_CUDA_MULTIPROCESSORS", 8)},
                           {36, 2619000},
                           {37, 5120},
                           {38, 52428800},
                           {39, 2048},
                           {75, capability / 10},
                           {76, capability % 10},
                           {81, hopper ? 233472 : 167936},
                           {82, 65536},
                           {97, most_shared()},
                           {106, 32},
                           {111, 1024},
                           {120, hopper},
                           {127, hopper}};
  for (size_t i = 0; i < sizeof values / sizeof *values; ++i)
    if (values[i][0] == attribute)
      return *value = values[i][1], SUCCESS;
  fprintf(stderr, "libcuda: device attribute %d is not known to the emulator\n", attribute);
  return INVALID_VALUE;
}
DRIVER(cuDevicePrimaryCtxRetain, (Context * *context, CUdevice device), context, device) {
  NEEDS_INIT;
  NEEDS(context && device >= 0 && device < 8);
  primary[device].device = device;
  *context = &primary[device];
  ++retained;
  return SUCCESS;
}
DRIVER(cuDevicePrimaryCtxRelease_v2, (CUdevice device), device) {
  NEEDS_INIT;
  if (!retained)
    return INVALID_CONTEXT;
  --retained;
  return SUCCESS;
}
DRIVER(cuCtxGetCurrent, (Context * *context), context) {
  NEEDS_INIT;
  *context = depth ? stack[depth - 1] : NULL;
  return SUCCESS;
}
DRIVER(cuCtxSetCurrent, (Context * context), context) {
  NEEDS_INIT;
  depth = depth ? depth : 1;
  stack[depth - 1] = context;
  return SUCCESS;
}
DRIVER(cuCtxPushCurrent_v2, (Context * context), context) {
  NEEDS_INIT;
  NEEDS(context && depth < 16);
  stack[depth++] = context;
  return SUCCESS;
}
DRIVER(cuCtxPopCurrent_v2, (Context * *context), context) {
  NEEDS_CONTEXT;
  --depth;
  if (context)
    *context = stack[depth];
  return SUCCESS;
}
DRIVER(cuCtxGetDevice, (CUdevice * device), device) {
  NEEDS_CONTEXT;
  *device = stack[depth - 1]->device;
  return SUCCESS;
}
DRIVER(cuCtxSynchronize, (void)) {
  NEEDS_CONTEXT;
  return finish(NULL);
}

// ---- modules --------------------------------------------------------------------------------------------------------

static CUresult load(Module **module, const char *image) {
  NEEDS_CONTEXT;
  NEEDS(module && image);
  if (!memcmp(image,
              "\x7f"
              "ELF",
              4) ||
      !memcmp(image, "\x50\xed\x55\xba", 4)) // a cubin or fatbin: the emulator runs PTX only
    return NO_BINARY_FOR_GPU;
  Reply reply = ask(LOAD, NULL, 0, image, strlen(image));
  if (reply.status != SUCCESS)
    return reply.status;
  *module = malloc(sizeof **module);
  (*module)->id = reply.values[0];
  return SUCCESS;
}
DRIVER(cuModuleLoadData, (Module * *module, const void *image), module, image) { return load(module, image); }
DRIVER(cuModuleLoadDataEx, (Module * *module, const void *image, unsigned count, int *options, void **values), module,
       image, count, options, values) {
  return load(module, image);
}
DRIVER(cuLibraryLoadData,
       (Module * *library, const void *image, int *jit, void **jit_values, unsigned jit_count, int *options,
        void **values, unsigned count),
       library, image, jit, jit_values, jit_count, options, values, count) {
  return load(library, image);
}
static CUresult unload(Module *module) {
  NEEDS_INIT;
  finish(NULL);
  ask1(UNLOAD, module->id);
  free(module);
  return SUCCESS;
}
DRIVER(cuModuleUnload, (Module * module), module) { return unload(module); }
DRIVER(cuLibraryUnload, (Module * library), library) { return unload(library); }
DRIVER(cuLibraryGetModule, (Module * *module, Module *library), module, library) {
  *module = library;
  return SUCCESS;
}

static CUresult find_function(Function **function, Module *module, const char *name) {
  NEEDS_CONTEXT;
  NEEDS(function && module && name);
  Reply reply = ask(FUNCTION, &module->id, 1, name, strlen(name)); // id, static shared bytes, sizes of parameters
  if (reply.status != SUCCESS)
    return reply.status;
  Function *found = calloc(1, sizeof *found);
  found->id = reply.values[0];
  found->static_shared = reply.values[1];
  found->count = reply.count - 2;
  memcpy(found->sizes, reply.values + 2, 8 * found->count);
  found->largest_shared = 49152 - (int)found->static_shared;
  *function = found; // lives as long as the process
  return SUCCESS;
}
DRIVER(cuModuleGetFunction, (Function * *function, Module *module, const char *name), function, module, name) {
  return find_function(function, module, name);
}
DRIVER(cuLibraryGetKernel, (Function * *kernel, Module *library, const char *name), kernel, library, name) {
  return find_function(kernel, library, name);
}
DRIVER(cuKernelGetFunction, (Function * *function, Function *kernel), function, kernel) {
  *function = kernel;
  return SUCCESS;
}
DRIVER(cuModuleGetGlobal_v2, (CUdeviceptr * address, size_t *size, Module *module, const char *name), address, size,
       module, name) {
  NEEDS_CONTEXT;
  Reply reply = ask(VARIABLE, &module->id, 1, name, strlen(name));
  if (reply.status != SUCCESS)
    return reply.status;
  if (address)
    *address = reply.values[0];
  if (size)
    *size = reply.values[1];
  return SUCCESS;
}
DRIVER(cuFuncSetAttribute, (Function * function, int attribute, int value), function, attribute, value) {
  NEEDS_CONTEXT;
  NEEDS(attribute >= 8 && attribute <= 15);
  if (attribute == 8) { // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    NEEDS(value >= 0 && value + (int)function->static_shared <= most_shared());
    function->largest_shared = value;
  }
  return SUCCESS;
}
DRIVER(cuFuncGetAttribute, (int *value, int attribute, Function *function), value, attribute, function) {
  NEEDS_CONTEXT;
  const int values[] = {1024, (int)function->static_shared, 0, 0, 32, 90, 90, 0, function->largest_shared};
  NEEDS(attribute >= 0 && attribute <= 8);
  *value = values[attribute];
  return SUCCESS;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

DRIVER(cuMemAlloc_v2, (CUdeviceptr * address, size_t size), address, size) {
  NEEDS_CONTEXT;
  NEEDS(address && size);
  Reply reply = ask1(ALLOCATE, size);
  *address = reply.values[0];
  return reply.status;
}
DRIVER(cuMemFree_v2, (CUdeviceptr address), address) {
  NEEDS_CONTEXT;
  finish(NULL);
  return address ? ask1(FREE, address).status : SUCCESS;
}
DRIVER(cuMemGetInfo_v2, (size_t *left, size_t *total), left, total) {
  NEEDS_CONTEXT;
  *left = *total = extent;
  return SUCCESS;
}

// A copy or fill: checked now, done now or on its stream.
static CUresult transfer(Work work, int waits) {
  NEEDS_CONTEXT;
  if (!work.size)
    return sticky;
  if (work.kind != TO_HOST && ask2(CHECK, work.to, work.size).status != SUCCESS)
    return INVALID_VALUE;
  if ((work.kind == TO_HOST || work.kind == ON_DEVICE) && ask2(CHECK, work.from, work.size).status != SUCCESS)
    return INVALID_VALUE;
  CUresult result = enqueue(work);
  return waits ? finish(NULL) : result;
}
#define COPY(...) ((Work){.size = size, __VA_ARGS__})
DRIVER(cuMemcpyHtoD_v2, (CUdeviceptr to, const void *from, size_t size), to, from, size) {
  return transfer(COPY(.kind = TO_DEVICE, .to = to, .host = (void *)from), 1);
}
DRIVER(cuMemcpyDtoH_v2, (void *to, CUdeviceptr from, size_t size), to, from, size) {
  return transfer(COPY(.kind = TO_HOST, .host = to, .from = from), 1);
}
DRIVER(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t size, Stream *stream), to, from, size, stream) {
  return transfer(COPY(.kind = TO_DEVICE, .stream = stream, .to = to, .host = (void *)from), 0);
}
DRIVER(cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t size, Stream *stream), to, from, size, stream) {
  return transfer(COPY(.kind = TO_HOST, .stream = stream, .host = to, .from = from), 0);
}
DRIVER(cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t size, Stream *stream), to, from, size, stream) {
  return transfer(COPY(.kind = ON_DEVICE, .stream = stream, .to = to, .from = from), 0);
}
DRIVER(cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t size, Stream *stream), to, value, size, stream) {
  return transfer(COPY(.kind = FILL, .stream = stream, .to = to, .from = value), 0);
}
DRIVER(cuPointerGetAttribute, (void *value, int attribute, CUdeviceptr address), value, attribute, address) {
  NEEDS_INIT;
  if (ask2(CHECK, address, 1).status != SUCCESS)
    return INVALID_VALUE;
  switch (attribute) {
  case 1:
    *(Context **)value = &primary[0];
    return SUCCESS; // CU_POINTER_ATTRIBUTE_CONTEXT
  case 2:
    *(unsigned *)value = 2;
    return SUCCESS; // MEMORY_TYPE: device
  case 3:
    *(CUdeviceptr *)value = address;
    return SUCCESS; // DEVICE_POINTER
  case 9:
    *(int *)value = primary[0].device;
    return SUCCESS; // DEVICE_ORDINAL
  default:
    return INVALID_VALUE;
  }
}

// ---- streams and launches -------------------------------------------------------------------------------------------

DRIVER(cuStreamCreate, (Stream * *stream, unsigned flags), stream, flags) {
  NEEDS_CONTEXT;
  *stream = calloc(1, sizeof **stream);
  return SUCCESS;
}
DRIVER(cuStreamDestroy_v2, (Stream * stream), stream) {
  NEEDS_CONTEXT;
  finish(stream);
  free(stream);
  return SUCCESS;
}
DRIVER(cuStreamSynchronize, (Stream * stream), stream) {
  NEEDS_CONTEXT;
  return finish(stream);
}

static CUresult launch(Function *function, const unsigned *grid, const unsigned *block, const unsigned *cluster,
                       int overlaps, unsigned shared, Stream *stream, void **parameters, void **extra) {
  NEEDS_CONTEXT;
  NEEDS(function && !extra && (parameters || !function->count));
  NEEDS((int)shared <= function->largest_shared);
  uint64_t values[12] = {function->id, shared};
  values[11] = overlaps;
  for (int axis = 0; axis < 3; ++axis) {
    values[2 + axis] = grid[axis];
    values[5 + axis] = block[axis];
    values[8 + axis] = cluster ? cluster[axis] : 0;
  }
  char bytes[8192];
  size_t size = 0;
  for (unsigned i = 0; i < function->count; size += function->sizes[i++])
    if (size + function->sizes[i] <= sizeof bytes)
      memcpy(bytes + size, parameters[i], function->sizes[i]);
  Reply reply = ask(PREPARE, values, 12, bytes, size);
  if (reply.status != SUCCESS)
    return reply.status;
  return enqueue((Work){.kind = KERNEL, .stream = stream, .launch = reply.values[0]});
}
DRIVER(cuLaunchKernel,
       (Function * function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
        unsigned shared, Stream *stream, void **parameters, void **extra),
       function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra) {
  return launch(function, (unsigned[]){gx, gy, gz}, (unsigned[]){bx, by, bz}, NULL, 0, shared, stream, parameters, extra);
}

typedef struct {
  unsigned id, pad;
  union {
    char bytes[64];
    unsigned cluster[3];
    int overlaps;
  } value;
} LaunchAttribute;
typedef struct {
  unsigned grid[3], block[3], shared;
  Stream *stream;
  LaunchAttribute *attributes;
  unsigned count;
} LaunchConfig;

enum { CLUSTER_DIMENSION = 4, PROGRAMMATIC_STREAM_SERIALIZATION = 6 };
static const LaunchAttribute *attribute_of(const LaunchConfig *config, unsigned id) {
  for (unsigned i = 0; i < config->count; ++i)
    if (config->attributes[i].id == id)
      return &config->attributes[i];
  return NULL;
}
static const unsigned *cluster_of(const LaunchConfig *config) {
  const LaunchAttribute *found = attribute_of(config, CLUSTER_DIMENSION);
  return found ? found->value.cluster : NULL;
}
DRIVER(cuLaunchKernelEx, (const LaunchConfig *config, Function *function, void **parameters, void **extra), config,
       function, parameters, extra) {
  NEEDS(config);
  const LaunchAttribute *overlap = attribute_of(config, PROGRAMMATIC_STREAM_SERIALIZATION);
  return launch(function, config->grid, config->block, cluster_of(config), overlap && overlap->value.overlaps, config->shared, config->stream, parameters,
                extra);
}

static int blocks_per_multiprocessor(Function *function, int threads, size_t shared) {
  size_t room = number("QLOW_CUDA_CAPABILITY", 90) >= 90 ? 233472 : 167936,
         each = function->static_shared + shared + 1024;
  int by_threads = threads > 0 && threads <= 1024 ? 2048 / ((threads + 31) / 32 * 32) : 0,
      by_shared = (int)(room / each);
  int blocks = by_threads < by_shared ? by_threads : by_shared;
  return blocks < 32 ? blocks : 32;
}
DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessor, (int *blocks, Function *function, int threads, size_t shared),
       blocks, function, threads, shared) {
  NEEDS_CONTEXT;
  NEEDS(blocks && function && threads > 0);
  *blocks = blocks_per_multiprocessor(function, threads, shared);
  return SUCCESS;
}
DRIVER(cuOccupancyMaxActiveClusters, (int *clusters, Function *function, const LaunchConfig *config), clusters,
       function, config) {
  NEEDS_CONTEXT;
  NEEDS(clusters && function && config);
  const unsigned *cluster = cluster_of(config), one[3] = {1, 1, 1};
  cluster = cluster ? cluster : one;
  int threads = (int)(config->block[0] * config->block[1] * config->block[2]);
  int resident = blocks_per_multiprocessor(function, threads, config->shared) * number("QLOW_CUDA_MULTIPROCESSORS", 8);
  *clusters = resident / (int)(cluster[0] * cluster[1] * cluster[2]);
  return SUCCESS;
}

// ---- tensor maps ----------------------------------------------------------------------------------------------------

typedef struct { // tensormap.py reads it
  uint32_t magic;
  uint8_t type, rank, swizzle, fill;
  uint64_t address, dims[5], strides[4];
  uint16_t box[5];
  uint8_t steps[5], rest[25];
} TensorMap;
_Static_assert(sizeof(TensorMap) == 128, "a CUtensorMap has 128 bytes");

DRIVER(cuTensorMapEncodeTiled,
       (TensorMap * map, int type, uint32_t rank, void *address, const uint64_t *dims, const uint64_t *strides,
        const uint32_t *box, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill),
       map, type, rank, address, dims, strides, box, steps, interleave, swizzle, promotion, fill) {
  static const int sizes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4}, spans[] = {256 * 8, 32, 64, 128};
  NEEDS(map && (uintptr_t)map % 64 == 0 && type >= 0 && type < 13 && rank >= 1 && rank <= 5 && interleave == 0);
  NEEDS(swizzle >= 0 && swizzle <= 3 && (uintptr_t)address % 16 == 0 && fill >= 0 && fill <= 1);
  TensorMap made = {
      0x70616D74, (uint8_t)type, (uint8_t)rank, (uint8_t)swizzle, (uint8_t)fill, (uint64_t)address, {0}, {0}, {0}, {0},
      {0}};
  for (uint32_t i = 0; i < rank; ++i) {
    NEEDS(dims[i] >= 1 && dims[i] <= 1ull << 32 && box[i] >= 1 && box[i] <= 256 && steps[i] >= 1 && steps[i] <= 8);
    made.dims[i] = dims[i];
    made.box[i] = (uint16_t)box[i];
    made.steps[i] = (uint8_t)steps[i];
    if (i + 1 == rank)
      break;
    NEEDS(strides[i] % 16 == 0 && strides[i] && strides[i] < 1ull << 40);
    made.strides[i] = strides[i];
  }
  NEEDS(box[0] * sizes[type] % 16 == 0 && (int)box[0] * sizes[type] <= spans[swizzle]);
  *map = made;
  return SUCCESS;
}

// ---- names ----------------------------------------------------------------------------------------------------------

DRIVER(cuGetErrorName, (CUresult error, const char **text), error, text) {
  for (size_t i = 0; i < sizeof kErrors / sizeof *kErrors; ++i)
    if (kErrors[i].code == error)
      return *text = kErrors[i].name, SUCCESS;
  *text = NULL;
  return INVALID_VALUE;
}
DRIVER(cuGetErrorString, (CUresult error, const char **text), error, text) {
  for (size_t i = 0; i < sizeof kErrors / sizeof *kErrors; ++i)
    if (kErrors[i].code == error)
      return *text = kErrors[i].text, SUCCESS;
  *text = NULL;
  return INVALID_VALUE;
}
DRIVER(cuGetProcAddress_v2, (const char *symbol, void **function, int version, uint64_t flags, int *status), symbol,
       function, version, flags, status) {
  char newer[80];
  snprintf(newer, sizeof newer, "%s_v2", symbol);
  Dl_info self;
  dladdr((void *)cuInit, &self);
  void *library = dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  *function = dlsym(library, newer);
  if (!*function)
    *function = dlsym(library, symbol);
  if (status)
    *status = *function ? 0 : 1;
  return *function ? SUCCESS : NOT_FOUND;
}
EXPORT CUresult cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags) {
  return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

__attribute__((destructor)) static void stop(void) {
  if (peer < 0)
    return;
  close(peer);
  waitpid(server, NULL, 0);
}
