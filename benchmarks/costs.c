/* What changes of page tables cost, and taking a memory block offline: nanoseconds, medians. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { TURNS = 2001, PAGE = 4096, HUGE = 2 << 20, SPLITS = 101, BLOCK_TURNS = 41 };

static volatile int stop;
static volatile unsigned long beats;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double one = *(const double *)a, other = *(const double *)b;

	return one < other ? -1 : one > other;
}

static double median(double *times, int n)
{
	qsort(times, n, sizeof(*times), ascending);
	return times[n / 2];
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *touch(void *page)
{
	volatile char *at = page;

	for (run_on(1); !stop; beats++)
		(void)*at;
	return NULL;
}

/* Take the right to write away from a page that was just written. With `other`, only the
 * times count in which a thread on another processor ran before and during the call. */
static double change(char *page, int other)
{
	static double times[TURNS];

	for (int i = 0; i < TURNS;) {
		unsigned long seen = beats;
		double began;

		page[0] = 1;
		while (other && beats == seen)
			;
		seen = beats;
		began = now();
		mprotect(page, PAGE, PROT_READ);
		times[i] = now() - began;
		i += !other || beats != seen;
		mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	}
	return median(times, TURNS);
}

/* Change one page of a huge one, and another of the same, which is split by then. */
static double split(void)
{
	char *area = aligned_alloc(HUGE, (size_t)SPLITS * HUGE);
	double first[SPLITS], second[SPLITS];

	madvise(area, (size_t)SPLITS * HUGE, MADV_HUGEPAGE);
	memset(area, 1, (size_t)SPLITS * HUGE);
	for (int i = 0; i < SPLITS; i++) {
		char *page = area + (size_t)i * HUGE + 64 * PAGE;
		double began = now();

		mprotect(page, PAGE, PROT_READ);
		first[i] = now() - began;
		began = now();
		mprotect(page + 32 * PAGE, PAGE, PROT_READ);
		second[i] = now() - began;
	}
	return median(first, SPLITS) - median(second, SPLITS);
}

static int block(const char *state)
{
	double times[BLOCK_TURNS];

	for (int i = 0; i < BLOCK_TURNS; i++) {
		int file = open(state, O_WRONLY);
		double began = now();

		if (write(file, "offline", 7) != 7)
			return 1;
		times[i] = now() - began;
		if (write(file, "online_movable", 14) != 14)
			return 1;
		close(file);
	}
	printf("block %.0f\n", median(times, BLOCK_TURNS));
	return 0;
}

int main(int argc, char **argv)
{
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	if (argc > 1)
		return block(argv[1]);
	run_on(0);
	memset(pages, 1, 2 * PAGE);
	printf("alone %.0f\n", change(pages, 0));
	pthread_create(&thread, NULL, touch, pages + PAGE);
	printf("beside another %.0f\n", change(pages, 1));
	stop = 1;
	pthread_join(thread, NULL);
	printf("split %.0f\n", split());
	return 0;
}
