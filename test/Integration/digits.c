/* Classifies the held-out digits with the quantized network and its f32 twin: digits IMAGES LABELS REFERENCE (.npy). */
#include "digits.h"
#include "digits_f32.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IMAGES = 450, PIXELS = 64, CLASSES = 10 };
static float images[IMAGES * PIXELS], reference[IMAGES * CLASSES], int8_scores[IMAGES * CLASSES],
    f32_scores[IMAGES * CLASSES];
static unsigned char labels[IMAGES];

static void read_npy(const char *path, void *data, size_t bytes) { /* a small .npy ends with its data */
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, -(long)bytes, SEEK_END) || fread(data, 1, bytes, file) != bytes) {
    perror(path);
    exit(1);
  }
  fclose(file);
}

static int run_int8(void *workspace, size_t space) {
  digits_classify_args args = {sizeof args, IMAGES, images, int8_scores, workspace, space, NULL};
  return digits_classify(&args);
}

static int run_f32(void *workspace, size_t space) {
  digits_f32_classify_args args = {sizeof args, IMAGES, images, f32_scores, workspace, space, NULL};
  return digits_f32_classify(&args);
}

static double images_per_second(int (*run)(void *, size_t), size_t space, const char *(*message)(int)) {
  void *workspace = aligned_alloc(64, (space + 64) / 64 * 64);
  int code, rounds = 0;
  clock_t start = clock(), end;
  do {
    if ((code = run(workspace, space)) != 0) {
      fprintf(stderr, "%s\n", message(code));
      exit(1);
    }
    ++rounds;
  } while ((end = clock()) - start < CLOCKS_PER_SEC / 2);
  free(workspace);
  return (double)IMAGES * rounds * CLOCKS_PER_SEC / (double)(end - start);
}

static void report(const char *name, const float *scores) {
  int right = 0;
  for (int i = 0; i < IMAGES; ++i) {
    int best = 0;
    for (int c = 1; c < CLASSES; ++c)
      best = scores[i * CLASSES + c] > scores[i * CLASSES + best] ? c : best;
    right += best == labels[i];
  }
  printf("%-21s%d of %d (%.2f %%)\n", name, right, IMAGES, 100.0 * right / IMAGES);
}

int main(int argc, char **argv) {
  if (argc != 4)
    return fprintf(stderr, "expected IMAGES LABELS REFERENCE\n"), 2;
  read_npy(argv[1], images, sizeof images);
  read_npy(argv[2], labels, sizeof labels);
  read_npy(argv[3], reference, sizeof reference);
  double int8 = images_per_second(run_int8, (size_t)digits_classify_workspace(IMAGES, 1), digits_strerror);
  double f32 = images_per_second(run_f32, (size_t)digits_f32_classify_workspace(IMAGES, 1), digits_f32_strerror);
  report("accuracy float", f32_scores);
  report("accuracy reference", reference);
  report("accuracy int8 object", int8_scores);
  int equal = memcmp(int8_scores, reference, sizeof reference) == 0;
  printf("scores of the int8 object and the reference are %s\n", equal ? "identical" : "DIFFERENT");
  printf("images per second    int8 %.0f, f32 %.0f (one thread)\n", int8, f32);
  return !equal;
}
