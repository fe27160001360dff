/*
 * Holds pages of the kernel's own: the buffers of pipes, which cannot be moved.
 * Or, with PINNED, pages of its own that lie in pipes: movable ones, which the
 * kernel tries to move again and again.
 *
 * Usage: hold NODE PIPES REPORT [PINNED]. The pages are taken from NODE alone; the
 * report is made once they are there, and they stay for as long as this runs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MPOL_BIND = 2, PIPE_BYTES = 65536 };

static int pin(int pipe)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return 0;
    memset(page, 1, 4096);
    struct iovec whole = {page, 4096};
    return vmsplice(pipe, &whole, 1, 0) == 4096;
}

int main(int argc, char **argv)
{
    static char data[PIPE_BYTES] = {1};
    if (argc != 4 && argc != 5)
        return 2;
    unsigned long node = 1ul << strtoul(argv[1], NULL, 10);
    long pipes = strtol(argv[2], NULL, 10);
    struct rlimit files = {2 * pipes + 64, 2 * pipes + 64};
    if (setrlimit(RLIMIT_NOFILE, &files) || syscall(SYS_set_mempolicy, MPOL_BIND, &node, 64))
        return 1;
    for (long each = 0; each < pipes; each++) {
        int ends[2];
        if (pipe2(ends, O_NONBLOCK))
            return 1;
        if (argc == 5 ? !pin(ends[1]) : write(ends[1], data, PIPE_BYTES) <= 0)
            return 1;
    }
    close(open(argv[3], O_WRONLY | O_CREAT, 0600));
    for (;;)
        pause();
}
