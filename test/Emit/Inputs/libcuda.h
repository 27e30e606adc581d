// What the libcuda.so.1 of the tests is told, and what it has seen.

#include <stdint.h>

// Takes the place of the driver's 128 bytes.
struct Map {
  const void *tensor;
  uint64_t size[2], stride;
  unsigned box[2], step[2];
  int element, rank, interleave, swizzle, promotion, fill;
};

struct Launch {
  const char *name;
  unsigned size[6], shared, cluster, overlaps;
  void *stream;
  uint64_t parameters[19];
  struct Map map; // of the second kernel, its last parameter
};

extern struct Fake {
  int capability, version; // version: 0, the driver of CUDA 12.3
  const char *fail_name;   // the function whose call number fail_call gives fail_result
  int fail_call, fail_result, fail_seen;
  int primary, retained, modules, allocations; // 0: nothing is held
  int is_ptx;                                  // the last image
  void *shared_of;                             // the last cuFuncSetAttribute
  int shared;
  int launched, maps; // so many maps were encoded
  struct Launch launches[16];
} fake;

int fake_depth(void); // contexts pushed on this thread
int cuCtxGetCurrent(void **context);
int cuCtxSetCurrent(void *context);
