/*
 * Holds pages of the kernel's own: the buffers of pipes, which cannot be moved.
 *
 * Usage: hold NODE PIPES REPORT. The pages are taken from NODE alone; the report
 * is made once they are there, and they stay for as long as this runs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MPOL_BIND = 2, PIPE_BYTES = 65536 };

int main(int argc, char **argv)
{
    static char data[PIPE_BYTES] = {1};
    if (argc != 4)
        return 2;
    unsigned long node = 1ul << strtoul(argv[1], NULL, 10);
    long pipes = strtol(argv[2], NULL, 10);
    struct rlimit files = {2 * pipes + 64, 2 * pipes + 64};
    if (setrlimit(RLIMIT_NOFILE, &files) || syscall(SYS_set_mempolicy, MPOL_BIND, &node, 64))
        return 1;
    for (long each = 0; each < pipes; each++) {
        int ends[2];
        if (pipe2(ends, O_NONBLOCK) || write(ends[1], data, PIPE_BYTES) <= 0)
            return 1;
    }
    close(open(argv[3], O_WRONLY | O_CREAT, 0600));
    for (;;)
        pause();
}
