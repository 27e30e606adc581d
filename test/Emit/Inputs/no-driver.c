// Loads where there is no driver that will do, and calls all the same.

#include "model.h"
#include <stdio.h>
#include <string.h>

int main(void) {
  static _Alignas(256) char memory[512];
  model_device device;
  model_f_args args;
  int code = model_load(&device, NULL);
  printf("%d: %s\n", code, model_strerror(code));
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.m = 2;
  args.x = (const float *)memory;
  args.y = (float *)memory;
  args.workspace = memory;
  args.workspace_size = sizeof memory;
  args.device = &device;
  code = model_f(&args);
  printf("%d: %s\n", code, model_strerror(code));
  return 0;
}
