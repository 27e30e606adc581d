//===- mixed.c - one function, for the host and as a kernel -----------------===//
//
// Integers of all widths, doubles, arrays on the stack, aggregates by value, calls, switches and loops of
// data-dependent length.
//
//===----------------------------------------------------------------------===//

typedef unsigned long long u64;

#ifdef __NVPTX__
#define KERNEL __attribute__((nvptx_kernel))
#define GLOBAL __attribute__((address_space(1)))
#define THREAD __nvvm_read_ptx_sreg_tid_x()
#else
#include <stdio.h>
static int thread;
#define KERNEL static
#define GLOBAL
#define THREAD thread
#endif

struct Mixed {
  int a;
  short b;
  double d;
  float f[3];
};

static __attribute__((noinline)) struct Mixed mix(struct Mixed p, int k, float *q) {
  p.a += k;
  p.b = (short)(p.b * k);
  p.d = p.d / 3.0 + k;
  for (int i = 0; i < 3; i++)
    p.f[i] = p.f[i] * 2.0f + q[i & 1];
  return p;
}

KERNEL void k(GLOBAL int *x, GLOBAL u64 *y, struct Mixed p, int n) {
  int t = THREAD;
  float q[2];
  q[t & 1] = t;
  q[(t & 1) ^ 1] = -t;
  struct Mixed r = mix(p, x[t], q);
  __int128 wide = (__int128)x[t] * 0x123456789abcdefLL + r.a;
  wide = wide * 3 - (wide >> 5);
  u64 h = 1469598103934665603ull;
  unsigned char bytes[40];
  for (int i = 0; i < 40; i++)
    bytes[i] = (unsigned char)(x[(t + i) % n] >> (i % 24));
  for (int i = 0; i < 40; i++) {
    h = (h ^ bytes[i]) * 1099511628211ull;
    h = (h << 13) | (h >> 51);
  }
  h += ((u64)wide ^ (u64)(wide >> 64)) + (u64)r.b;
  union {
    double d;
    u64 bits;
  } real = {r.d};
  h ^= real.bits;
  for (int i = 0; i < 3; i++) {
    union {
      float f;
      unsigned bits;
    } single = {r.f[i]};
    h = h * 31 + single.bits;
  }
  int v = x[t];
  h += (long long)((signed char)v / 7) + v % 11 + __builtin_popcount(v) + __builtin_clz(v | 1) + __builtin_ctz(v | 256);
  switch (v & 7) {
  case 0:
    h ^= 1;
    break;
  case 1:
    h += 77; // falls through
  case 2:
    h *= 5;
    break;
  case 3:
    h -= v;
    break;
  case 5:
    h = ~h;
    break;
  case 6:
    h = __builtin_bswap64(h);
    break;
  default:
    h = __builtin_bitreverse64(h);
  }
  for (unsigned z = (unsigned)v; z > 1; z = (z & 1) ? z / 3 : z / 2)
    h = h * 2 + (z & 3);
  y[t] = h;
}

#ifndef __NVPTX__
int main(void) {
  enum { N = 64 };
  static int x[N];
  static u64 y[N];
  if (fread(x, 4, N, stdin) != N)
    return 1;
  for (thread = 0; thread < N; ++thread)
    k(x, y, (struct Mixed){5, 7, 1.25, {.5f, 2, -3}}, N);
  return fwrite(y, 8, N, stdout) != N;
}
#endif
