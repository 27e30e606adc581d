// entry.c: calls the functions of entry.mlir as no program should, then as one should. C99 and C++.
//
// Prints what did not hold; exits with the number of such things.

#define _POSIX_C_SOURCE 200112L
#include "m.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define EXPECT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition);                                         \
      ++failures;                                                                                                      \
    }                                                                                                                  \
  } while (0)

/* The call returns this rule, and strerror says which field broke it and what the rule is. */
#define EXPECT_CODE(call, rule, text) expect_code(__LINE__, call, rule, text)
static void expect_code(int line, int code, int rule, const char *text) {
  if ((code & 255) == rule && strcmp(m_strerror(code), text) == 0)
    return;
  fprintf(stderr, "entry.c:%d: expected rule %d, '%s'; found rule %d, '%s'\n", line, rule, text, code & 255,
          m_strerror(code));
  ++failures;
}

/* Aligned as everything asks, and nothing that may be read or written. */
#define NOWHERE 4096

static void *allocate(size_t bytes) {
  void *memory = NULL;
  if (posix_memalign(&memory, 64, bytes + 64))
    abort();
  memset(memory, 0, bytes + 64);
  return memory;
}

/* ---- Checks, in their order ---------------------------------------------------------------------------------- */

static void check_order(void) {
  static float x[64 * 8], y[64 * 8];
  m_twice_args args;
  memset(&args, 0, sizeof args);
  EXPECT_CODE(m_twice(NULL), M_E_NULL, "m_twice: args must not be NULL");

  /* All is wrong; each correction shows the next rule. */
  args.size = sizeof args - 8;
  args.m = 65;
  EXPECT_CODE(m_twice(&args), M_E_VERSION,
              "m_twice: size must be sizeof(m_twice_args): the header is not the object's");
  args.size = sizeof args;
  EXPECT_CODE(m_twice(&args), M_E_SIZE, "m_twice: m must be in [1, 64]");
  args.m = 64;
  EXPECT_CODE(m_twice(&args), M_E_NULL, "m_twice: x must not be NULL unless the tensor is empty");
  args.x = (const float *)(const void *)((const char *)x + 1);
  EXPECT_CODE(m_twice(&args), M_E_NULL, "m_twice: y must not be NULL unless the tensor is empty");
  args.y = (float *)(void *)((char *)y + 2);
  args.workspace = (char *)NOWHERE + 8;
  EXPECT_CODE(m_twice(&args), M_E_ALIGN, "m_twice: x must be aligned to 4 bytes, the size of its element");
  args.x = x;
  EXPECT_CODE(m_twice(&args), M_E_ALIGN, "m_twice: y must be aligned to 4 bytes, the size of its element");
  args.y = y;
  EXPECT_CODE(m_twice(&args), M_E_ALIGN, "m_twice: workspace must be aligned to 64 bytes");
  args.workspace = NULL;

  const int64_t sizes[] = {0, 65, -1, INT64_MIN, INT64_MAX};
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
    args.m = sizes[i];
    EXPECT_CODE(m_twice(&args), M_E_SIZE, "m_twice: m must be in [1, 64]");
    EXPECT(m_twice_workspace(sizes[i], 1) == -1);
  }

  /* No workspace is needed, so none is asked for. */
  EXPECT(m_twice_workspace(64, 1) == 0);
  for (int i = 0; i < 64 * 8; ++i)
    x[i] = (float)i;
  args.m = 63;
  EXPECT(m_twice(&args) == M_OK);
  for (int i = 0; i < 64 * 8; ++i)
    EXPECT(y[i] == (i < 63 * 8 ? 2 * (float)i : 0));
}

static void check_strerror(void) {
  int known = 0;
  EXPECT(strcmp(m_strerror(M_OK), "ok") == 0);
  EXPECT(strncmp(m_strerror(M_E_CPU), "m: this processor", 17) == 0);
  for (int code = -1000; code < 1 << 16; ++code) {
    const char *text = m_strerror(code);
    EXPECT(text && *text);
    known += text && strcmp(text, "unknown code") != 0;
  }
  EXPECT(known > 50);
  EXPECT(strcmp(m_strerror(INT_MIN), "unknown code") == 0 && strcmp(m_strerror(INT_MAX), "unknown code") == 0);
}

/* ---- Sizes that must be one, workspace ----------------------------------------------------------------------- */

static m_product_args product(int64_t m, int64_t k, int64_t n, const float *a, const float *b, float *y) {
  m_product_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.a_d0 = m;
  args.a_d1 = args.b_d0 = k;
  args.b_d1 = n;
  args.a = a;
  args.b = b;
  args.y = y;
  return args;
}

static void check_sizes(void) {
  float *nowhere = (float *)NOWHERE;
  m_product_args args = product(4, 8, 4, nowhere, nowhere, nowhere);
  args.workspace = nowhere;
  args.workspace_size = (size_t)1 << 40;
  args.b_d0 = 9;
  EXPECT_CODE(m_product(&args), M_E_SIZE, "m_product: b_d0 must be in [0, 2147483647], and a_d1 == b_d0");
  args.b_d0 = 7;
  EXPECT_CODE(m_product(&args), M_E_SIZE, "m_product: b_d0 must be in [0, 2147483647], and a_d1 == b_d0");
  EXPECT(m_product_workspace(4, 8, 9, 4, 1) == -1);
  args = product(INT32_MAX, INT32_MAX, 1, nowhere, nowhere, nowhere);
  EXPECT_CODE(m_product(&args), M_E_SIZE, "m_product: a would have more than 2^62 bytes");
  EXPECT(m_product_workspace(INT32_MAX, INT32_MAX, INT32_MAX, 1, 1) == -1);
  EXPECT(m_product_workspace((int64_t)INT32_MAX + 1, 1, 1, 1, 1) == -1);
  EXPECT(m_product_workspace(1, 1, 1, 1, 0) == -1 && m_product_workspace(1, 1, 1, 1, -1) == -1);

  /* Growing with each argument. */
  const int64_t sizes[] = {0, 1, 3, 4, 17, 64, 65, 1000};
  const int count = sizeof sizes / sizeof *sizes;
  for (int i = 0; i + 1 < count; ++i)
    for (int j = 0; j < count; ++j) {
      int64_t s = sizes[i], t = sizes[i + 1], o = sizes[j];
      EXPECT(m_product_workspace(s, o, o, o, 1) <= m_product_workspace(t, o, o, o, 1));
      EXPECT(m_product_workspace(o, s, s, o, 1) <= m_product_workspace(o, t, t, o, 1));
      EXPECT(m_product_workspace(o, o, o, s, 1) <= m_product_workspace(o, o, o, t, 1));
      EXPECT(m_product_workspace(o, o, o, o, i + 1) <= m_product_workspace(o, o, o, o, i + 2));
      EXPECT(m_product_workspace(s, s, s, o, 1) >= 0);
    }
}

static void check_workspace(void) {
  float a[3 * 5], b[5 * 7], y[3 * 7];
  for (int i = 0; i < 15; ++i)
    a[i] = (float)i;
  for (int i = 0; i < 35; ++i)
    b[i] = (float)(i % 4);
  m_product_args args = product(3, 5, 7, a, b, y);
  int64_t need = m_product_workspace(3, 5, 5, 7, 1);
  EXPECT(need > 0);
  char *space = (char *)allocate((size_t)need);
  args.workspace_size = (size_t)need;
  EXPECT_CODE(m_product(&args), M_E_NULL, "m_product: workspace must not be NULL where m_product_workspace() is not 0");
  args.workspace = space + 8;
  EXPECT_CODE(m_product(&args), M_E_ALIGN, "m_product: workspace must be aligned to 64 bytes");
  args.workspace = space;
  args.workspace_size = (size_t)need - 1;
  EXPECT_CODE(m_product(&args), M_E_WORKSPACE,
              "m_product: workspace_size must be at least m_product_workspace() for these sizes and this width");
  args.workspace_size = (size_t)need;
  EXPECT(m_product(&args) == M_OK);
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 7; ++j) {
      float sum = 0; /* small integers: exact in any order */
      for (int k = 0; k < 5; ++k)
        sum += a[i * 5 + k] * b[k * 7 + j];
      EXPECT(y[i * 7 + j] == sum);
    }

  /* Tensors without elements need no memory; a sum over nothing is 0. */
  args.a_d0 = 0;
  args.a = NULL;
  args.y = NULL;
  EXPECT(m_product(&args) == M_OK);
  args = product(3, 0, 7, NULL, NULL, y);
  args.workspace = space;
  args.workspace_size = (size_t)need;
  EXPECT(m_product(&args) == M_OK);
  for (int i = 0; i < 21; ++i)
    EXPECT(y[i] == 0);
  args.y = NULL;
  EXPECT_CODE(m_product(&args), M_E_NULL, "m_product: y must not be NULL unless the tensor is empty");
  free(space);
}

/* ---- Threads -------------------------------------------------------------------------------------------------- */

enum { ROWS = 67, K = 256, COLUMNS = 512 };

typedef struct tasks {
  void (*body)(void *, int64_t);
  void *arg;
  int64_t index;
  int started[64];
} tasks;

static void *run_task(void *data) {
  tasks *task = (tasks *)data;
  task->body(task->arg, task->index);
  return NULL;
}

/* One thread for each task, the last one started first. */
static void run_on_threads(void *self, void (*body)(void *, int64_t), void *arg, int64_t n) {
  tasks *all = (tasks *)self, each[64];
  pthread_t threads[64];
  EXPECT(n >= 0 && n <= 64);
  for (int64_t i = n - 1; i >= 0; --i) {
    each[i].body = body;
    each[i].arg = arg;
    each[i].index = i;
    ++all->started[i];
    EXPECT(pthread_create(&threads[i], NULL, run_task, &each[i]) == 0);
  }
  for (int64_t i = 0; i < n; ++i)
    pthread_join(threads[i], NULL);
}

static uint8_t lhs[ROWS * K];
static int8_t rhs[K * COLUMNS];
static int32_t expected[ROWS * COLUMNS];

static int multiply(int32_t *y, const m_parallel *parallel) {
  static const float scale = 1;
  static const uint8_t zero = 128;
  m_codes_args args;
  memset(&args, 0, sizeof args);
  int64_t need = m_codes_workspace(ROWS, parallel ? parallel->width : 1);
  args.size = sizeof args;
  args.m = ROWS;
  args.a_codes = lhs;
  args.a_scale = args.b_scale = &scale;
  args.a_zero = &zero;
  args.b_codes = rhs;
  args.y = y;
  args.workspace = allocate((size_t)need);
  args.workspace_size = (size_t)need;
  args.parallel = parallel;
  int code = m_codes(&args);
  free(args.workspace);
  return code;
}

static void *multiply_again(void *result) {
  int32_t *y = (int32_t *)allocate(sizeof expected);
  for (int i = 0; i < 20; ++i) {
    memset(y, 0xA5, sizeof expected);
    *(int *)result |= multiply(y, NULL) != M_OK || memcmp(y, expected, sizeof expected) != 0;
  }
  free(y);
  return NULL;
}

static void check_threads(void) {
  for (int i = 0; i < ROWS * K; ++i)
    lhs[i] = (uint8_t)(i * 37 + i / 251);
  for (int i = 0; i < K * COLUMNS; ++i)
    rhs[i] = (int8_t)((i * 73 + i / 241) % 256 - 128);
  for (int i = 0; i < ROWS; ++i)
    for (int j = 0; j < COLUMNS; ++j)
      for (int k = 0; k < K; ++k)
        expected[i * COLUMNS + j] += (lhs[i * K + k] - 128) * rhs[k * COLUMNS + j];

  int32_t *y = (int32_t *)allocate(sizeof expected);
  EXPECT(multiply(y, NULL) == M_OK && memcmp(y, expected, sizeof expected) == 0);
  int shared = 0;
  for (int32_t width = 1; width <= 9; ++width) {
    tasks seen;
    memset(&seen, 0, sizeof seen);
    m_parallel parallel = {run_on_threads, &seen, width};
    memset(y, 0xA5, sizeof expected);
    EXPECT(multiply(y, &parallel) == M_OK && memcmp(y, expected, sizeof expected) == 0);
    for (int i = width; i < 64; ++i)
      EXPECT(seen.started[i] == 0); /* never more at once than width */
    shared |= seen.started[1] > 0;
    m_parallel openmp;
    m_openmp(&openmp, width);
    EXPECT(openmp.width == width);
    memset(y, 0xA5, sizeof expected);
    EXPECT(multiply(y, &openmp) == M_OK && memcmp(y, expected, sizeof expected) == 0);
  }
  EXPECT(shared);

  m_parallel broken = {NULL, NULL, 2};
  EXPECT_CODE(multiply(y, &broken), M_E_NULL, "m_codes: parallel must have a run function");
  broken.run = run_on_threads;
  broken.width = 0;
  EXPECT(m_codes_workspace(ROWS, 0) == -1);
  m_codes_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.parallel = &broken;
  EXPECT_CODE(m_codes(&args), M_E_SIZE, "m_codes: parallel must have a width of at least 1");

  /* Several calls at once. */
  pthread_t threads[4];
  int failed[4] = {0, 0, 0, 0};
  for (int i = 0; i < 4; ++i)
    EXPECT(pthread_create(&threads[i], NULL, multiply_again, &failed[i]) == 0);
  for (int i = 0; i < 4; ++i) {
    pthread_join(threads[i], NULL);
    EXPECT(!failed[i]);
  }
  free(y);
}

/* ---- Fields ----------------------------------------------------------------------------------------------------- */

static void check_types(void) {
  const uint16_t half[3] = {0x3C00, 0xC000, 0x0001}, brain[3] = {0x3F80, 0xC0A0, 0x4049};
  const uint8_t mask[3] = {1, 0, 1};
  float y[3], z;
  uint8_t other = 7;
  m_types_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.f = 2.5f;
  args.n = -3;
  args.which = 1;
  args.h = half;
  args.b = brain;
  args.m = mask;
  args.y = y;
  args.z = &z;
  args.other = &other;
  EXPECT(m_types_workspace(1) == 0);
  EXPECT(m_types(&args) == M_OK);
  EXPECT(y[0] == 1.0f && y[1] == -5.0f && y[2] == 1.0f / (1 << 24));
  EXPECT(z == 2.5f && other == 0);
  args.which = 0;
  EXPECT(m_types(&args) == M_OK && z == -3.0f && other == 1);
  args.h = (const uint16_t *)(const void *)((const char *)half + 1);
  EXPECT_CODE(m_types(&args), M_E_ALIGN, "m_types: h must be aligned to 2 bytes, the size of its element");
  args.h = half;
  args.z = NULL;
  EXPECT_CODE(m_types(&args), M_E_NULL, "m_types: z must not be NULL unless the tensor is empty");
}

static void check_parts(void) {
  /* 1.0 of f4E2M1FN is 2, of f8E4M3FN 0x38, of f8E8M0FNU 127. */
  uint8_t codes[3 * 16], scale_codes[3 * 2], u_codes[3 * 32], u_scale[2] = {127, 128}, u_zero[2] = {5, 7};
  float scale = 0.5f, y[3 * 32];
  memset(codes, 0x22, sizeof codes);
  memset(scale_codes, 0x38, sizeof scale_codes);
  memset(u_codes, 9, sizeof u_codes);
  m_parts_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.m = 3;
  args.x_codes = codes;
  args.x_scale_codes = scale_codes;
  args.x_scale_scale = &scale;
  args.u_codes = u_codes;
  args.u_scale = u_scale;
  args.u_zero = u_zero;
  args.y = y;
  int64_t need = m_parts_workspace(3, 1);
  args.workspace = allocate((size_t)need);
  args.workspace_size = (size_t)need;
  EXPECT(m_parts(&args) == M_OK);
  for (int i = 0; i < 3 * 32; ++i)
    EXPECT(y[i] == (i < 2 * 32 ? 0.5f + 4.0f : 0.5f + 2 * 2.0f));
  args.x_scale_codes = NULL;
  EXPECT_CODE(m_parts(&args), M_E_NULL, "m_parts: x_scale_codes must not be NULL unless the tensor is empty");
  args.m = 0; /* then only the scale of all scales is there */
  args.x_codes = args.u_codes = args.u_scale = args.u_zero = NULL;
  args.y = NULL;
  EXPECT(m_parts(&args) == M_OK);
  free(args.workspace);
}

static void check_state(void) {
  int32_t sum[5] = {1, 2, 3, 4, 5}, x[5] = {10, 20, 30, 40, 50}, before[5];
  m_count_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.n = 5;
  args.sum = sum;
  args.x = x;
  args.before = before;
  int64_t need = m_count_workspace(5, 1);
  args.workspace = allocate((size_t)need);
  args.workspace_size = (size_t)need;
  for (int call = 0; call < 2; ++call) {
    EXPECT(m_count(&args) == M_OK);
    for (int i = 0; i < 5; ++i)
      EXPECT(before[i] == i + 1 + call * x[i] && sum[i] == i + 1 + (call + 1) * x[i]);
  }
  free(args.workspace);

  int32_t a[4] = {1, 2, 3, 4}, b[4] = {5, 6, 7, 8}, c[4] = {0, 0, 0, 0};
  m_swap_args swap;
  memset(&swap, 0, sizeof swap);
  swap.size = sizeof swap;
  swap.a = a;
  swap.b = b;
  swap.c = c;
  swap.x = x;
  need = m_swap_workspace(1);
  swap.workspace = allocate((size_t)need);
  swap.workspace_size = (size_t)need;
  EXPECT(m_swap(&swap) == M_OK);
  for (int i = 0; i < 4; ++i)
    EXPECT(a[i] == i + 5 && b[i] == i + 1 && c[i] == x[i]);
  free(swap.workspace);
}

int main(void) {
  if (m_check_cpu() != M_OK)
    return fprintf(stderr, "%s\n", m_strerror(m_check_cpu())), 255;
  check_order();
  check_strerror();
  check_sizes();
  check_workspace();
  check_threads();
  check_types();
  check_parts();
  check_state();
  return failures < 100 ? failures : 100;
}
