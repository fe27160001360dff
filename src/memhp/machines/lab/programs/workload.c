/*
 * A program whose memory is checksummed: it fills memory, goes on rewriting it
 * page by page, and each page is verified before it is written again. SIGUSR1
 * makes it verify all of it and append a line to its report:
 *
 *     checked PAGES rewritten COUNT bad COUNT
 *
 * Usage: workload MIB SEED NODE REPORT. Memory is taken from NODE where there
 * is room. It is linked statically, for a guest that has nothing but a busybox.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, MPOL_PREFERRED = 1, PAUSE_PAGES = 64 };

static volatile sig_atomic_t asked;

static void on_request(int number)
{
    (void)number;
    asked = 1;
}

/* The words of a page follow from the seed, its number, and how often it was written. */
static uint64_t first_word(uint64_t seed, uint64_t page, uint64_t generation)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ull ^ page * 0xbf58476d1ce4e5b9ull ^ generation;
    x ^= x >> 30;
    x *= 0x94d049bb133111ebull;
    return x | 1;
}

static uint64_t next_word(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    return x ^ (x << 17);
}

static void fill(uint64_t *at, uint64_t x)
{
    for (int i = 0; i < WORDS; i++, x = next_word(x))
        at[i] = x;
}

static int is_bad(const uint64_t *at, uint64_t x)
{
    for (int i = 0; i < WORDS; i++, x = next_word(x))
        if (at[i] != x)
            return 1;
    return 0;
}

static void report(const char *path, uint64_t pages, uint64_t rewritten, uint64_t bad)
{
    char line[128];
    int length = snprintf(line, sizeof line, "checked %llu rewritten %llu bad %llu\n",
                          (unsigned long long)pages, (unsigned long long)rewritten,
                          (unsigned long long)bad);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || write(file, line, length) != length)
        _exit(3);
    close(file);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    uint64_t pages = strtoull(argv[1], NULL, 10) * 256, seed = strtoull(argv[2], NULL, 10);
    unsigned long nodes = 1ul << strtoul(argv[3], NULL, 10);
    syscall(SYS_set_mempolicy, MPOL_PREFERRED, &nodes, sizeof nodes * 8);
    uint64_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t *generations = calloc(pages, sizeof *generations);
    if (memory == MAP_FAILED || generations == NULL)
        return 1;
    signal(SIGUSR1, on_request);
    for (uint64_t page = 0; page < pages; page++)
        fill(memory + page * WORDS, first_word(seed, page, 0));
    report(argv[4], pages, 0, 0);
    uint64_t bad = 0, rewritten = 0;
    for (uint64_t page = 0;; page = (page + 1) % pages) {
        uint64_t *at = memory + page * WORDS;
        bad += is_bad(at, first_word(seed, page, generations[page]));
        fill(at, first_word(seed, page, ++generations[page]));
        if (++rewritten % PAUSE_PAGES == 0)
            usleep(20000);
        if (asked) {
            asked = 0;
            for (uint64_t each = 0; each < pages; each++)
                bad += is_bad(memory + each * WORDS, first_word(seed, each, generations[each]));
            report(argv[4], pages, rewritten, bad);
        }
    }
}
