/* A disk that can be watched and made to fail, for the processes that preload it: it stands between SQLite and the C library.
 *
 * Only files below the folder in $DISK_FOLDER are touched. With $DISK_LOG, every change to them is written to that file in
 * the order in which it was made, as records: operation (1 byte), length of the name (2), offset (8), length of the data (4),
 * name, data; little endian.
 *
 * $DISK_CONTROL is a file of a `struct control`, mapped into memory, so that whoever changes it is obeyed at once:
 * the n-th operation of a kind from now on fails with that errno (sticky: and all after it), and a file that would grow past
 * the quota finds no space. The kinds are the letters below.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPEN = 'o', WRITE = 'w', TRUNCATE = 't', SYNC = 's', UNLINK = 'u', RENAME = 'r' };

#define MAX_FD 4096
static char *names[MAX_FD]; /* path of a watched descriptor */
static const char *folder;
static size_t folder_length;
static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct control {
    int64_t quota;   /* bytes that all files together may have; 0: any */
    int32_t reached; /* operations that failed so far */
    int32_t unused;
    struct { int32_t left, error, sticky; } plan[128];
    char failed[64]; /* name of the file that failed last */
};
static struct control idle, *control = &idle;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_truncate)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_allocate)(int, off64_t, off64_t);
static int (*real_statvfs)(const char *, struct statvfs64 *);

__attribute__((constructor)) static void begin(void)
{
    real_open = dlsym(RTLD_NEXT, "open64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_truncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_allocate = dlsym(RTLD_NEXT, "posix_fallocate64");
    real_statvfs = dlsym(RTLD_NEXT, "statvfs64");
    folder = getenv("DISK_FOLDER");
    folder_length = folder ? strlen(folder) : 0;
    const char *log = getenv("DISK_LOG");
    if (log)
        log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const char *controlled = getenv("DISK_CONTROL");
    int fd = controlled ? real_open(controlled, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        real_close(fd);
    }
}

static int watched(const char *path) { return folder && path && !strncmp(path, folder, folder_length); }

static const char *name_of(int fd) { return fd >= 0 && fd < MAX_FD ? names[fd] : NULL; }

static void record(char operation, const char *name, uint64_t offset, const void *data, uint32_t length)
{
    if (log_fd < 0)
        return;
    char head[15 + PATH_MAX];
    uint16_t name_length = (uint16_t)strlen(name);
    head[0] = operation;
    memcpy(head + 1, &name_length, 2);
    memcpy(head + 3, &offset, 8);
    memcpy(head + 11, &length, 4);
    memcpy(head + 15, name, name_length);
    if (real_write(log_fd, head, 15 + name_length) < 0 || (length && real_write(log_fd, data, length) < 0))
        abort(); /* a log with a hole in it would prove nothing */
}

static void failed(const char *path)
{
    const char *name = strrchr(path, '/');
    snprintf(control->failed, sizeof control->failed, "%s", name ? name + 1 : path);
    control->reached++;
}

/* Whether this operation is the one that fails; the caller holds the lock. */
static int fails(unsigned char operation, const char *path)
{
    if (!control->plan[operation].left || --control->plan[operation].left)
        return 0;
    if (control->plan[operation].sticky)
        control->plan[operation].left = 1;
    failed(path);
    errno = control->plan[operation].error;
    return 1;
}

/* Bytes of all files in the folder. */
static int64_t used(void)
{
    int64_t sum = 0;
    DIR *all = opendir(folder);
    for (struct dirent *one; all && (one = readdir(all));) {
        struct stat found;
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, one->d_name);
        if (!stat(path, &found) && S_ISREG(found.st_mode))
            sum += found.st_size;
    }
    if (all)
        closedir(all);
    return sum;
}

/* Whether there is no space left for a file to grow so far. */
static int full(int fd, const char *path, int64_t end)
{
    struct stat found;
    if (!control->quota || fstat(fd, &found) || end <= found.st_size || used() + end - found.st_size <= control->quota)
        return 0;
    failed(path);
    errno = ENOSPC;
    return 1;
}

static int opened(const char *path, int flags, mode_t mode)
{
    if (!watched(path))
        return real_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = -1;
    if (!fails(OPEN, path)) {
        int made = (flags & O_CREAT) && access(path, F_OK);
        fd = real_open(path, flags, mode);
        if (fd >= 0 && fd < MAX_FD) {
            free(names[fd]);
            names[fd] = strdup(path);
            if (made)
                record(OPEN, path, 0, NULL, 0);
        }
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(path, flags, mode); }

int close(int fd)
{
    if (name_of(fd)) {
        pthread_mutex_lock(&lock);
        free(names[fd]);
        names[fd] = NULL;
        pthread_mutex_unlock(&lock);
    }
    return real_close(fd);
}

static ssize_t written(int fd, const void *data, size_t length, off64_t offset, int at)
{
    const char *name = name_of(fd);
    if (!name)
        return at ? real_pwrite(fd, data, length, offset) : real_write(fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t done = -1;
    if (!at)
        offset = lseek64(fd, 0, SEEK_CUR);
    if (!fails(WRITE, name) && !full(fd, name, offset + (int64_t)length)) {
        done = at ? real_pwrite(fd, data, length, offset) : real_write(fd, data, length);
        if (done > 0)
            record(WRITE, name, (uint64_t)offset, data, (uint32_t)done);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return written(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return written(fd, data, length, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return written(fd, data, length, offset, 1); }

static int cut(int fd, off64_t length)
{
    const char *name = name_of(fd);
    if (!name)
        return real_truncate(fd, length);
    pthread_mutex_lock(&lock);
    int done = fails(TRUNCATE, name) ? -1 : real_truncate(fd, length);
    if (!done)
        record(TRUNCATE, name, (uint64_t)length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

static int synced(int fd, int (*real)(int))
{
    const char *name = name_of(fd);
    if (!name)
        return real(fd);
    pthread_mutex_lock(&lock);
    int done = fails(SYNC, name) ? -1 : real(fd);
    if (!done)
        record(SYNC, name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int unlink(const char *path)
{
    if (!watched(path))
        return real_unlink(path);
    pthread_mutex_lock(&lock);
    int done = fails(UNLINK, path) ? -1 : real_unlink(path);
    if (!done)
        record(UNLINK, path, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int rename(const char *from, const char *to)
{
    if (!watched(from))
        return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int done = fails(RENAME, from) ? -1 : real_rename(from, to);
    if (!done)
        record(RENAME, from, 0, to, (uint32_t)strlen(to));
    pthread_mutex_unlock(&lock);
    return done;
}

int statvfs64(const char *path, struct statvfs64 *found)
{
    int done = real_statvfs(path, found);
    if (!done && watched(path) && control->quota) {
        int64_t left = control->quota - used();
        found->f_bavail = found->f_bfree = left > 0 ? (uint64_t)left / found->f_frsize : 0;
    }
    return done;
}

int statvfs(const char *path, struct statvfs *found) { return statvfs64(path, (struct statvfs64 *)found); }

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    const char *name = name_of(fd);
    if (!name)
        return real_allocate(fd, offset, length);
    pthread_mutex_lock(&lock);
    int error = fails(WRITE, name) || full(fd, name, offset + length) ? errno : real_allocate(fd, offset, length);
    pthread_mutex_unlock(&lock);
    return error;
}

int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }
