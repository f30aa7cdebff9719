/* Work in chunks on a few threads that all callers of this process share; they sleep when there is none. */
#ifndef VFNET_WORKER_THREADS_H
#define VFNET_WORKER_THREADS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

typedef struct Job {
    void (*run)(void *context, int chunk);
    void *context;
    int chunks, helpers, most_helpers;
    atomic_int next;
    struct Job *link;
} Job;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_work = PTHREAD_COND_INITIALIZER, helper_left = PTHREAD_COND_INITIALIZER;
static Job *jobs;
static int workers, wanted; /* of all jobs there are: so many that no caller waits for another's */

static void run_chunks(Job *job) {
    for (int chunk; (chunk = atomic_fetch_add(&job->next, 1)) < job->chunks;) job->run(job->context, chunk);
}

static int needs_help(Job *job) { return atomic_load(&job->next) < job->chunks && job->helpers < job->most_helpers; }

static void *work(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        Job *job = jobs;
        while (job && !needs_help(job)) job = job->link;
        if (!job) {
            pthread_cond_wait(&has_work, &lock);
            continue;
        }
        job->helpers++;
        pthread_mutex_unlock(&lock);
        run_chunks(job);
        pthread_mutex_lock(&lock);
        if (--job->helpers == 0) pthread_cond_broadcast(&helper_left);
    }
    return NULL;
}

/* Runs the chunks on this thread and on up to `threads` - 1 workers that all callers share. */
static void parallel(int threads, int chunks, void (*run)(void *, int), void *context) {
    Job job = {.run = run, .context = context, .chunks = chunks, .most_helpers = threads - 1};
    if (threads < 2 || chunks < 2) {
        run_chunks(&job);
        return;
    }
    pthread_mutex_lock(&lock);
    wanted += job.most_helpers;
    while (workers < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL) != 0) break; /* fewer will do */
        pthread_detach(thread);
        workers++;
    }
    job.link = jobs;
    jobs = &job;
    pthread_cond_broadcast(&has_work);
    pthread_mutex_unlock(&lock);
    run_chunks(&job);
    pthread_mutex_lock(&lock);
    Job **place = &jobs;
    while (*place != &job) place = &(*place)->link;
    *place = job.link;
    wanted -= job.most_helpers;
    while (job.helpers) pthread_cond_wait(&helper_left, &lock);
    pthread_mutex_unlock(&lock);
}

#endif
