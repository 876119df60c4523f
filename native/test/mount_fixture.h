// Mounts of a test's own, where that is allowed.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "test/temporary.h"
#include "test/test.h"

namespace kafabric::test {

/** What `inMount` returns where nothing can be mounted. */
constexpr int kNotMounted = 77;

/** The exit code of `body` in a process of its own. */
template <typename Body>
int inChild(Body body) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/** The exit code of `body(directory)` in a process of its own, which alone sees a file system mounted there. */
template <typename Body>
int inMount(const char* type, const char* options, Body body) {
  std::string directory = makeDirectory();
  int code = inChild([&] {
    bool mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                   ::mount(type, directory.c_str(), type, 0, options) == 0;
    return mounted ? body(directory) : kNotMounted;
  });
  std::filesystem::remove(directory);
  return code;
}

/** That a body has returned 0, where it could be run. */
inline void checkMounted(int code) {
  if (code == kNotMounted) throw LeftOut("this may not be mounted here");
  CHECK_EQ(code, 0);
}

}  // namespace kafabric::test
