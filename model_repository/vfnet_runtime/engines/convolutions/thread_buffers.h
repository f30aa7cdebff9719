/* Memory that a thread keeps from one layer to the next. */
#ifndef VFNET_THREAD_BUFFERS_H
#define VFNET_THREAD_BUFFERS_H

#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

/* A buffer that grows and stays with its thread, until that ends: these are needed 33 times an image. Mapped, because
 * what is freed by a thread that ends, `free` keeps for the next that begins, in as many heaps as there were at once. */
typedef struct {
    void *memory;
    size_t size;
} Buffer;

static __thread Buffer table_buffer, tile_buffer;
static pthread_once_t once_for_all_threads = PTHREAD_ONCE_INIT;
static pthread_key_t has_buffers;
static int has_key;

static void give_back(Buffer *buffer) {
    if (buffer->memory) munmap(buffer->memory, buffer->size);
    buffer->memory = NULL;
    buffer->size = 0;
}

static void give_back_buffers(void *unused) {
    (void)unused;
    give_back(&table_buffer);
    give_back(&tile_buffer);
}

static void make_key(void) { has_key = pthread_key_create(&has_buffers, give_back_buffers) == 0; }

static void *room(Buffer *buffer, size_t size) {
    if (buffer->size < size) {
        pthread_once(&once_for_all_threads, make_key);
        if (has_key) pthread_setspecific(has_buffers, buffer); /* any value: so that a thread that ends is noticed */
        give_back(buffer);
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return NULL;
        buffer->memory = memory;
        buffer->size = size;
    }
    return buffer->memory;
}

#endif
