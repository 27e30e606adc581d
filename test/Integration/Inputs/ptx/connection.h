//===- connection.h - libcuda.c's line to the emulator ----------------------===//
//
// Counts and traces calls, makes those fail that QLOW_CUDA_FAIL names, starts
// server.py and asks it.
//
//===----------------------------------------------------------------------===//

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;

enum {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_CONTEXT = 201,
  NO_BINARY_FOR_GPU = 209,
  INVALID_PTX = 218,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  LAUNCH_FAILED = 719,
  UNKNOWN = 999
};

static const struct {
  CUresult code;
  const char *name, *text;
} kErrors[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

// ---- calls: counted, traced, made to fail ---------------------------------------------------------------------------

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
  char name[64];
  int count;
} counts[96];

static int number(const char *variable, int otherwise) {
  const char *text = getenv(variable);
  return text && *text ? atoi(text) : otherwise;
}

// Counts a call and returns what QLOW_CUDA_FAIL wants it to return.
static CUresult enter(const char *function) {
  char name[64];
  snprintf(name, sizeof name, "%s", function);
  size_t length = strlen(name);
  if (length > 3 && !strcmp(name + length - 3, "_v2"))
    name[length - 3] = 0;
  int slot = 0;
  while (counts[slot].name[0] && strcmp(counts[slot].name, name) != 0)
    ++slot;
  strcpy(counts[slot].name, name);
  int count = ++counts[slot].count;
  const char *trace = getenv("QLOW_CUDA_TRACE");
  FILE *file = trace && *trace ? fopen(trace, "a") : NULL;
  if (file) {
    fprintf(file, "%s\n", name);
    fclose(file);
  }
  for (const char *at = getenv("QLOW_CUDA_FAIL"); at && *at;) {
    char wanted[64];
    int which, result, used = 0;
    if (sscanf(at, "%63[^:]:%d:%d%n", wanted, &which, &result, &used) == 3 && which == count && !strcmp(wanted, name))
      return result;
    at += used;
    at += strcspn(at, ",");
    at += *at == ',';
  }
  return SUCCESS;
}

// ---- the emulator ---------------------------------------------------------------------------------------------------

static int peer = -1; // socket
static pid_t server;
static char *arena;           // our mapping of device memory
static uint64_t base, extent; // its device addresses

enum { LOAD = 1, UNLOAD, FUNCTION, VARIABLE, ALLOCATE, FREE, PREPARE, RUN, WRITTEN, CHECK };

#define MOST_VALUES 514 // of a kernel: two, and the sizes of its 4096 bytes of parameters
typedef struct {
  int32_t status;
  uint32_t count;
  uint64_t values[MOST_VALUES];
} Reply;

static int whole(int (*transfer)(int, void *, size_t), void *data, size_t size) {
  for (char *at = data; size;) {
    int done = transfer(peer, at, size);
    if (done <= 0)
      return 0;
    at += done;
    size -= done;
  }
  return 1;
}
static int put(int to, void *data, size_t size) { return send(to, data, size, MSG_NOSIGNAL); }
static int get(int from, void *data, size_t size) { return read(from, data, size); }

// One request: numbers and bytes, answered by a status and numbers.
static Reply ask(uint32_t what, const uint64_t *values, uint32_t count, const void *bytes, uint64_t size) {
  Reply reply = {UNKNOWN, 0, {0}};
  uint32_t head[2] = {what, count};
  if (!whole(put, head, sizeof head) || !whole(put, &size, sizeof size) || !whole(put, (void *)values, 8 * count) ||
      !whole(put, (void *)bytes, size))
    return reply;
  if (!whole(get, &reply, 8) || reply.count > MOST_VALUES || !whole(get, reply.values, 8 * reply.count))
    reply.status = UNKNOWN;
  return reply;
}
static Reply ask1(uint32_t what, uint64_t value) { return ask(what, &value, 1, NULL, 0); }
static Reply ask2(uint32_t what, uint64_t a, uint64_t b) { return ask(what, (uint64_t[]){a, b}, 2, NULL, 0); }

static CUresult start(void) {
  int pair[2];
  extent = 1ull << 36;
  int file = memfd_create("device memory", 0);
  if (file < 0 || ftruncate(file, extent) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
    return UNKNOWN;
  arena = mmap(NULL, extent, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  void *device = mmap(NULL, extent, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED || device == MAP_FAILED)
    return OUT_OF_MEMORY;
  base = (uint64_t)device;
  char socket_text[16], file_text[16], base_text[24], extent_text[24], capability[16], multiprocessors[16];
  snprintf(socket_text, sizeof socket_text, "%d", pair[1]);
  snprintf(file_text, sizeof file_text, "%d", file);
  snprintf(base_text, sizeof base_text, "%llu", (unsigned long long)base);
  snprintf(extent_text, sizeof extent_text, "%llu", (unsigned long long)extent);
  snprintf(capability, sizeof capability, "%d", number("QLOW_CUDA_CAPABILITY", 90));
  snprintf(multiprocessors, sizeof multiprocessors, "%d", number("QLOW_CUDA_MULTIPROCESSORS", 8));
  server = fork();
  if (server == 0) {
    close(pair[0]);
    unsetenv("LD_LIBRARY_PATH");
    execlp(PYTHON, PYTHON, "-B", SERVER, socket_text, file_text, base_text, extent_text, capability, multiprocessors,
           (char *)NULL);
    _exit(127);
  }
  close(pair[1]);
  peer = pair[0];
  return ask(0, NULL, 0, NULL, 0).status;
}
