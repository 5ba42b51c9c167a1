/* Stands between a program and the C library, counts what changes files below one folder, and makes one of those
 * operations the last, or fail.
 *
 *   FAULT_UNDER  the folder
 *   FAULT_AT     the number of the operation, from 1; 0 for none
 *   FAULT_HOW    kill: the process ends there, half of what was to be written is written
 *                full: from there on the disk is full
 *                broken: that one operation fails
 *   FAULT_LOG    a file that gets a line for each operation
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long operations;

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static const char *absolute(const char *path, char *whole) {
    char here[PATH_MAX];
    if (path[0] == '/' || !getcwd(here, sizeof here))
        snprintf(whole, 2 * PATH_MAX, "%s", path);
    else
        snprintf(whole, 2 * PATH_MAX, "%s/%s", here, path);
    return whole;
}

static int below(const char *path) {
    const char *folder = setting("FAULT_UNDER");
    return *folder && strncmp(path, folder, strlen(folder)) == 0;
}

static const char *path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

static void note(const char *operation, const char *path, const char *to) {
    const char *log = setting("FAULT_LOG");
    if (!*log) return;
    int (*open_log)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    ssize_t (*write_log)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    int file = open_log(log, O_WRONLY | O_APPEND | O_CREAT, 0644);
    char line[5 * PATH_MAX];
    int length = snprintf(line, sizeof line, "%s %s%s%s\n", operation, path, *to ? " " : "", to);
    if (write_log(file, line, length) != length) abort();
    close(file);
}

/* 0: go on. 1: this operation fails with errno set. 2: half of it, then the end. */
static int fault_to(const char *operation, const char *path, const char *to, int takes_room) {
    char whole[2 * PATH_MAX], whole_to[2 * PATH_MAX] = "";
    path = absolute(path, whole);
    if (!below(path)) return 0;
    const char *how = setting("FAULT_HOW");
    long at = atol(setting("FAULT_AT"));
    long number = atomic_fetch_add(&operations, 1) + 1;
    note(operation, path, *to ? absolute(to, whole_to) : "");
    if (at == 0 || number < at) return 0;
    if (strcmp(how, "full") == 0) {
        errno = ENOSPC;
        return takes_room;
    }
    if (number > at) return 0;
    if (strcmp(how, "broken") == 0) {
        errno = EIO;
        return 1;
    }
    return 2;
}

static int fault(const char *operation, const char *path, int takes_room) {
    return fault_to(operation, path, "", takes_room);
}

static void end(void) {
    raise(SIGKILL);
}

#define REAL(name) __typeof__(name) *real = dlsym(RTLD_NEXT, #name)
#define MEET(operation, path, takes_room) MEET_TO(operation, path, "", takes_room)
#define MEET_TO(operation, path, to, takes_room)                                                                      \
    switch (fault_to(operation, path, to, takes_room)) {                                                                   \
    case 1: return -1;                                                                                                \
    case 2: end();                                                                                                    \
    }

#define OPENS(name)                                                                                                   \
    int name(const char *path, int flags, ...) {                                                                      \
        REAL(name);                                                                                                   \
        va_list more;                                                                                                 \
        va_start(more, flags);                                                                                        \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;                                                     \
        va_end(more);                                                                                                 \
        if (flags & (O_CREAT | O_TRUNC)) MEET("create", path, 1)                                                      \
        return real(path, flags, mode);                                                                               \
    }
OPENS(open)
OPENS(open64)

ssize_t write(int file, const void *bytes, size_t count) {
    REAL(write);
    char path[PATH_MAX];
    switch (fault("write", path_of(file, path), 1)) {
    case 1: return -1;
    case 2:
        if (real(file, bytes, count / 2) >= 0) end();
        abort();
    }
    return real(file, bytes, count);
}

#define SYNCS(name)                                                                                                   \
    int name(int file) {                                                                                              \
        REAL(name);                                                                                                   \
        char path[PATH_MAX];                                                                                          \
        MEET("sync", path_of(file, path), 0)                                                                          \
        return real(file);                                                                                            \
    }
SYNCS(fsync)
SYNCS(fdatasync)

int rename(const char *from, const char *to) {
    REAL(rename);
    MEET_TO("rename", from, to, 1)
    return real(from, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    MEET("mkdir", path, 1)
    return real(path, mode);
}

int unlink(const char *path) {
    REAL(unlink);
    MEET("remove", path, 0)
    return real(path);
}

int rmdir(const char *path) {
    REAL(rmdir);
    MEET("remove", path, 0)
    return real(path);
}

int unlinkat(int folder, const char *name, int flags) {
    REAL(unlinkat);
    char path[PATH_MAX], whole[2 * PATH_MAX];
    if (name[0] == '/' || folder == AT_FDCWD)
        snprintf(whole, sizeof whole, "%s", name);
    else
        snprintf(whole, sizeof whole, "%s/%s", path_of(folder, path), name);
    MEET("remove", whole, 0)
    return real(folder, name, flags);
}

#define CUTS(name, offset)                                                                                            \
    int name(int file, offset length) {                                                                               \
        REAL(name);                                                                                                   \
        char path[PATH_MAX];                                                                                          \
        MEET("cut", path_of(file, path), 0)                                                                           \
        return real(file, length);                                                                                    \
    }
CUTS(ftruncate, off_t)
CUTS(ftruncate64, off64_t)
