// A process of its own for a test: this program again, which runs what CHILD(name) has. Not a fork of the test's process, whose threads and
// libraries do not survive that.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "test/test.h"

extern char** environ;

namespace kafabric::test {

/** Descriptors in the child: the socket to the test, and the one that the test shares with it. */
constexpr int kChildControl = 3;
constexpr int kChildShared = 4;

/** Whole messages, each with its length before it, over a stream socket. False at the end of the stream. */
inline bool sendMessage(int socket, const std::string& message) {
  auto length = static_cast<uint32_t>(message.size());
  std::string framed(reinterpret_cast<const char*>(&length), sizeof(length));
  framed += message;
  return ::send(socket, framed.data(), framed.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(framed.size());
}

inline bool receiveMessage(int socket, std::string& message) {
  auto readAll = [&](void* target, size_t bytes) {
    return bytes == 0 || ::recv(socket, target, bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
  };
  uint32_t length = 0;
  if (!readAll(&length, sizeof(length))) return false;
  message.resize(length);
  return readAll(message.data(), length);
}

class ChildProcess {
 public:
  /** `shared`: a descriptor that the child gets as kChildShared. */
  ChildProcess(const std::string& name, int shared) {
    int ends[2];
    CHECK_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    control_ = ends[0];
    // Out of the way of the numbers that the child gets.
    int childEnd = ::fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
    int childShared = ::fcntl(shared, F_DUPFD_CLOEXEC, 10);
    ::close(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, childEnd, kChildControl);
    posix_spawn_file_actions_adddup2(&actions, childShared, kChildShared);
    std::string program = "/proc/self/exe";
    std::string argument = "--child=" + name;
    char* arguments[] = {program.data(), argument.data(), nullptr};
    int code = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(childEnd);
    ::close(childShared);
    CHECK_EQ(code, 0);
  }
  ~ChildProcess() {
    ::close(control_);
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  int control() const { return control_; }
  pid_t pid() const { return pid_; }
  void signal(int number) { CHECK_EQ(::kill(pid_, number), 0); }
  /** Stops it in its tracks, and waits until none of its threads runs. */
  void stop() {
    signal(SIGSTOP);
    int status = 0;
    CHECK_EQ(::waitpid(pid_, &status, WUNTRACED), pid_);
    CHECK(WIFSTOPPED(status));
  }
  /** Kills it, and waits until it is gone. */
  void kill() {
    signal(SIGKILL);
    CHECK_EQ(::waitpid(pid_, nullptr, 0), pid_);
    pid_ = -1;
  }
  /** Waits for its own end; its exit status. */
  int join() {
    ::shutdown(control_, SHUT_WR);
    int status = 0;
    CHECK_EQ(::waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  int control_ = -1;
  pid_t pid_ = -1;
};

}  // namespace kafabric::test
