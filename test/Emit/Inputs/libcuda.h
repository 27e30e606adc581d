// What the libcuda.so.1 of the tests is told, and what it has seen.

#include <stdint.h>

struct Launch {
  const char *name;
  unsigned size[6], shared, cluster;
  void *stream;
  uint64_t parameters[19];
};

extern struct Fake {
  int capability;
  const char *fail_name; // the function whose call number fail_call gives fail_result
  int fail_call, fail_result, fail_seen;
  int primary, retained, modules, allocations; // 0: nothing is held
  int is_ptx;                                  // the last image
  void *shared_of;                             // the last cuFuncSetAttribute
  int shared;
  int launched;
  struct Launch launches[16];
} fake;

int fake_depth(void); // contexts pushed on this thread
int cuCtxGetCurrent(void **context);
int cuCtxSetCurrent(void *context);
