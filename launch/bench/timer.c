/* How late a timer loop in C wakes up: absolute deadlines, SCHED_FIFO where permitted.
   Arguments: rate [Hz], duration [s], priority. Writes lateness [ns] of each wake-up as 64-bit integers. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    const int64_t period = (int64_t)(1e9 / atof(argv[1]));
    const int64_t count = (int64_t)(atof(argv[2]) * 1e9) / period;
    const struct sched_param param = {.sched_priority = atoi(argv[3])};
    int64_t *lateness = calloc((size_t)count, sizeof *lateness);
    if (!lateness) return 1;
    sched_setscheduler(0, SCHED_FIFO, &param);
    mlockall(MCL_CURRENT | MCL_FUTURE);
    int64_t due = now_ns() + period, taken = 0;
    for (; taken < count; taken++) {
        const struct timespec until = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        const int64_t now = now_ns();
        lateness[taken] = now - due;
        due += period * (1 + (now - due) / period);
    }
    return fwrite(lateness, sizeof *lateness, (size_t)taken, stdout) == (size_t)taken ? 0 : 1;
}
