// Plugins that misbehave, one for each BEHAVIOUR (-DBEHAVIOUR=...), for the tests of what the client does about them.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OTHER_MAJOR 1   // speaks version 1.0 of the C API
#define OLDER 2         // speaks version 0.40
#define SHORT 3         // its table ends before PJRT_Client_Create
#define REFUSES 4       // its initialisation returns an error
#define ABORTS 5        // fails a check when a client is made
#define HANGS 6         // never returns when a client is made
#define GIVES_NOTHING 7 // reports success, but makes no client
#define NO_TABLE 8      // GetPjrtApi returns null
#define CHATTERS 9      // floods both streams, then exits when a client is made

#ifndef BEHAVIOUR
#error "which?"
#endif

struct error { int code; const char *message; };
struct error_args { size_t size; void *extensions; struct error *error; const char *message; size_t message_size; };
struct code_args { size_t size; void *extensions; struct error *error; int code; };
struct attributes_args { size_t size; void *extensions; const void *attributes; size_t count; };

static struct error no_driver = {9, "the driver is older than this plugin"};

static void *destroy(void *args) { (void)args; return NULL; }
static void *message(void *args) {
  struct error_args *a = args;
  a->message = a->error->message;
  a->message_size = strlen(a->message);
  return NULL;
}
static void *code(void *args) { struct code_args *a = args; a->code = a->error->code; return NULL; }
static void *initialize(void *args) { (void)args; return BEHAVIOUR == REFUSES ? &no_driver : NULL; }
static void *attributes(void *args) { struct attributes_args *a = args; a->attributes = NULL; a->count = 0; return NULL; }
static void *create(void *args) {
  (void)args;
  if (BEHAVIOUR == ABORTS) {
    fputs("F0000 00:00:00.000000 fake.cc:7] Check failed: device != nullptr \x1b[31m(no device)\n", stderr);
    abort();
  }
  if (BEHAVIOUR == CHATTERS) {
    for (int i = 0; i < 100000; i++) {
      fputs("chatter chatter chatter\n", stderr);
      puts("chatter chatter chatter");
    }
    fputs("the last words\n", stderr);
    exit(3);
  }
  while (BEHAVIOUR == HANGS) sleep(1000);
  return NULL;
}

static struct {
  size_t size;
  void *extensions;
  size_t version_size;
  void *version_extensions;
  int32_t major, minor;
  void *(*functions[118])(void *);
} api;

const void *GetPjrtApi(void) {
  if (BEHAVIOUR == NO_TABLE) return NULL;
  api.size = BEHAVIOUR == SHORT ? offsetof(__typeof__(api), functions) + 5 * sizeof(void *) : sizeof api;
  api.major = BEHAVIOUR == OTHER_MAJOR;
  api.minor = BEHAVIOUR == OTHER_MAJOR ? 0 : BEHAVIOUR == OLDER ? 40 : 81;
  api.functions[0] = destroy;
  api.functions[1] = message;
  api.functions[2] = code;
  api.functions[3] = initialize;
  api.functions[4] = attributes;
  api.functions[10] = create;
  return &api;
}
