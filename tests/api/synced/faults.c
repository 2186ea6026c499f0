/* Syncs that take long, or fail: preloaded into the server by synced.rs.
 *
 * A sync of the file NAME is slow while there is $SYNC_FAULTS/slow/NAME, and fails without a
 * look at the disk while there is $SYNC_FAULTS/fail/NAME.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int has(const char *fault, int fd)
{
    char link[64], file[4096], path[8192];
    ssize_t length;
    const char *name;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, file, sizeof file - 1);
    if (length < 0)
        return 0;
    file[length] = 0;
    name = strrchr(file, '/');
    snprintf(path, sizeof path, "%s/%s/%s", getenv("SYNC_FAULTS"), fault, name ? name + 1 : file);
    return access(path, F_OK) == 0;
}

static int sync_file(long call, int fd)
{
    if (has("slow", fd))
        usleep(300000);
    if (has("fail", fd)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, fd);
}

int fdatasync(int fd)
{
    return sync_file(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_file(SYS_fsync, fd);
}
