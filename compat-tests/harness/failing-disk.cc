// Preloaded into a process, makes its disk fail while the file that FAILING_DISK names says so: "call errno directory".
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

/** The errno value with which a call for this file fails; 0: it does not. */
int faultOf(const char* call, int fd) {
  const char* rule = getenv("FAILING_DISK");
  FILE* file = rule ? fopen(rule, "re") : nullptr;
  if (!file) return 0;
  char failing[32];
  char directory[4096];
  int error = 0;
  int fields = fscanf(file, "%31s %d %4095s", failing, &error, directory);
  fclose(file);
  if (fields != 3 || strcmp(failing, call) != 0) return 0;
  char path[4096];
  ssize_t length = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  std::string below = std::string(directory) + '/';
  return length > 0 && std::string(path, length).compare(0, below.size(), below) == 0 ? error : 0;
}

bool fails(const char* call, int fd) {
  int error = faultOf(call, fd);
  if (error != 0) errno = error;
  return error != 0;
}

}  // namespace

extern "C" int fdatasync(int fd) {
  return fails("fdatasync", fd) ? -1 : static_cast<int>(syscall(SYS_fdatasync, fd));
}

extern "C" ssize_t pwritev(int fd, const iovec* vectors, int count, off_t position) {
  return fails("pwritev", fd) ? -1 : syscall(SYS_pwritev, fd, vectors, count, position, off_t{0});
}
