#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scene/scene.h"

#define PREFIX "res://"
#define PREFIX_LEN 6
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
#define BITE (128u << 10) /* the kernel cuts a larger read-ahead to the device's limit */
#define RACES 16          /* openat2 answers EAGAIN while directories are renamed */

/*
 * Segment by segment, where openat2(2) is not to be had. A mount of the same
 * file system within the project is not noticed here, other ones are.
 */
static int walk(const struct jobq_scene_project *project, const char *path)
{
	char segment[256];
	struct stat st;
	int dir = project->root;

	for (;;) {
		size_t len = strcspn(path, "/");
		bool last = path[len] == '\0';
		int fd = -ENAMETOOLONG;
		if (len < sizeof(segment)) {
			memcpy(segment, path, len);
			segment[len] = '\0';
			fd = openat(dir, segment,
				    last ? OPEN_FLAGS
					 : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd < 0)
				fd = -errno;
			/* A link to a directory is told from a file as openat2 would. */
			if (fd == -ENOTDIR &&
			    fstatat(dir, segment, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			    S_ISLNK(st.st_mode))
				fd = -ELOOP;
		}
		if (dir != project->root)
			close(dir);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0 || st.st_dev != project->device) {
			close(fd);
			return -EXDEV;
		}
		if (last)
			return fd;
		dir = fd;
		path += len + 1;
	}
}

static int beneath(struct jobq_scene_project *project, const char *path)
{
	struct open_how how = {
		.flags = OPEN_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};

	for (int i = 0; i < RACES && !project->walk; i++) {
		long fd = syscall(SYS_openat2, project->root, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno == ENOSYS || errno == EPERM)
			project->walk = true;
		else if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return project->walk ? walk(project, path) : -EAGAIN;
}

int scene_project_file(struct jobq_scene_project *project, const char *path,
		       struct jobq_scene_stamp *stamp)
{
	struct stat st;

	if (jobq_paths_malformed_file(path, strlen(path)) != NULL)
		return -EINVAL;
	if (project->blacklist != NULL && jobq_paths_match_any(project->blacklist, path))
		return -EPERM;
	int fd = beneath(project, path + PREFIX_LEN);
	if (fd < 0)
		return fd;
	int error = 0;
	if (fstat(fd, &st) < 0)
		error = -errno;
	else if (S_ISDIR(st.st_mode))
		error = -EISDIR;
	else if (!S_ISREG(st.st_mode))
		error = -ENODEV;
	if (error < 0) {
		close(fd);
		return error;
	}
	stamp->bytes = (uint64_t)st.st_size;
	stamp->modified = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	stamp->inode = (uint64_t)st.st_ino;
	return fd;
}

int scene_project_read(int fd, const struct jobq_scene_stamp *stamp, char **data)
{
	if (stamp->bytes > JOBQ_SCENE_FILE_MAX)
		return -EFBIG;
	size_t len = 0, room = (size_t)stamp->bytes + 1;
	struct stat st;
	char *bytes = malloc(room);
	int error = 0;

	*data = NULL;
	if (bytes == NULL)
		return -ENOMEM;
	scene_arena_huge(bytes, room);
	/* One byte more than there should be, to notice when it grew. */
	while (len < stamp->bytes) {
		ssize_t got = read(fd, bytes + len, room - len);
		if (got > 0)
			len += (size_t)got;
		else if (got == 0)
			break;
		else if (errno != EINTR) {
			error = -errno;
			break;
		}
	}
	if (error == 0 && (len != stamp->bytes || fstat(fd, &st) < 0 ||
			   (uint64_t)st.st_size != stamp->bytes ||
			   st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec != stamp->modified))
		error = -ESTALE;
	if (error < 0)
		free(bytes);
	else
		*data = bytes;
	return error;
}

void scene_project_preload(int fd, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += BITE)
		(void)posix_fadvise(fd, (off_t)at, BITE, POSIX_FADV_WILLNEED);
}

char *scene_project_path(struct scene_arena *arena, const char *dir, const char *text,
			 const char **why)
{
	size_t len = 0;
	const char *scheme = strstr(text, "://");
	bool absolute = strncmp(text, PREFIX, PREFIX_LEN) == 0;

	*why = "it is outside the project";
	if ((!absolute && scheme != NULL) || text[0] == '/') {
		if (strncmp(text, "uid://", 6) == 0)
			*why = "no file of the project has this uid";
		return NULL;
	}
	char *joined = absolute ? scene_arena_copy(arena, text, strlen(text))
				: scene_arena_print(arena, "%s%s", dir, text);
	char *path = scene_arena_get(arena, PREFIX_LEN + (joined == NULL ? 0 : strlen(joined)) + 1);
	if (joined == NULL || path == NULL)
		return NULL;
	memcpy(path, PREFIX, PREFIX_LEN);
	for (char *at = joined; *at != '\0'; at++)
		*at = *at == '\\' ? '/' : *at;
	for (const char *at = joined + PREFIX_LEN; *at != '\0';) {
		size_t segment = strcspn(at, "/");
		if (segment == 2 && at[0] == '.' && at[1] == '.') {
			/* Above the root is the root: so 3.x simplifies, and a relative path in 4.x. */
			while (len > 0 && path[PREFIX_LEN + --len] != '/')
				;
		} else if (segment > 0 && !(segment == 1 && at[0] == '.')) {
			if (len > 0)
				path[PREFIX_LEN + len++] = '/';
			memcpy(path + PREFIX_LEN + len, at, segment);
			len += segment;
		}
		at += segment + (at[segment] == '/');
	}
	path[PREFIX_LEN + len] = '\0';
	return path;
}

/* Which engine the project is for; it matters only for old or mixed formats. */
static void find_engine(struct jobq_scene_project *project)
{
	struct jobq_scene_stamp stamp;
	struct scene_arena arena = {0};
	char *data = NULL;
	int fd = scene_project_file(project, "res://project.godot", &stamp);

	if (fd < 0)
		return;
	if (scene_project_read(fd, &stamp, &data) == 0) {
		project->engine = scene_read_engine(&arena, data, (size_t)stamp.bytes);
		project->minor = scene_read_minor(data, (size_t)stamp.bytes);
	}
	scene_arena_free(&arena);
	free(data);
	close(fd);
}

int jobq_scene_project_open(struct jobq_scene_project **out, const char *root,
			    const struct jobq_list *blacklist)
{
	struct jobq_scene_project *project = calloc(1, sizeof(*project));
	struct stat st;

	*out = NULL;
	if (project == NULL)
		return -ENOMEM;
	project->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (project->root < 0 || fstat(project->root, &st) < 0) {
		int error = -errno;
		jobq_scene_project_close(project);
		return error;
	}
	project->device = st.st_dev;
	project->blacklist = blacklist;
	find_engine(project);
	*out = project;
	return 0;
}

void jobq_scene_project_close(struct jobq_scene_project *project)
{
	if (project == NULL)
		return;
	if (project->root >= 0)
		close(project->root);
	scene_uid_forget(project);
	free(project);
}

int jobq_scene_project_root(const struct jobq_scene_project *project)
{
	return project->root;
}

const char *jobq_scene_reason(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
		return "it does not exist";
	case -EPERM:
		return "it is blacklisted";
	case -ELOOP:
		return "a symbolic link is on its way";
	case -EXDEV:
		return "it is outside the project";
	case -EISDIR:
		return "it is a directory";
	case -ENODEV:
	case -ENXIO:
		return "it is not a regular file";
	case -EFBIG:
		return "it is larger than 256 MiB";
	case -ESTALE:
		return "it changed while it was read";
	case -EINVAL:
		return "its path is malformed";
	case -EACCES:
		return "it may not be read";
	case -ENOMEM:
		return "memory ran out";
	default:
		return "it could not be read";
	}
}
