// A file descriptor that one function owns. Files that are shared are FileHandles.
#pragma once

#include <unistd.h>

namespace kafabric {

struct Descriptor {
  int fd;  // negative: none
  explicit Descriptor(int opened) : fd(opened) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

}  // namespace kafabric
