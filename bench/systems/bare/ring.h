// Recycled memory that frames are received into, and the thread that writes it to a recycled file.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kRingBytes = 256 << 20;
constexpr uint64_t kFileBytes = 2ull << 30;

/**
 * Mapped twice, one behind the other, so that a frame may reach over the end. Received bytes are written with O_DIRECT in whole pieces, each at
 * its place modulo the file's length; the file is written once in advance, as recycled segments are.
 */
class Ring {
 public:
  explicit Ring(const std::string& path) : memory_(map()) {
    file_ = open(path.c_str(), O_CREAT | O_RDWR | O_DIRECT, 0600);
    if (file_ < 0) throw std::runtime_error("cannot open " + path + " with O_DIRECT");
    for (uint64_t at = 0; at < kFileBytes; at += kPieceBytes) writePiece(at);
    std::thread([this] { run(); }).detach();
  }

  /** Where `bytes` can be received; waits until they fit. */
  uint8_t* room(size_t bytes) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return received_ + bytes - written_ <= kRingBytes; });
    return memory_ + received_ % kRingBytes;
  }

  /** The bytes that were received into room() go to the file. */
  void keep(size_t bytes) {
    std::lock_guard lock(mutex_);
    received_ += bytes;
    if (received_ - written_ >= kPieceBytes) changed_.notify_all();
  }

 private:
  static uint8_t* map() {
    constexpr size_t bytes = kRingBytes;
    int shared = memfd_create("ring", MFD_CLOEXEC);
    if (shared < 0 || ftruncate(shared, static_cast<off_t>(bytes)) != 0) throw std::runtime_error("no memory for a ring");
    void* base = mmap(nullptr, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int half = 0; half < 2; half++) {
      void* at = static_cast<uint8_t*>(base) + half * bytes;
      int flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
      if (mmap(at, bytes, PROT_READ | PROT_WRITE, flags, shared, 0) == MAP_FAILED) throw std::runtime_error("cannot map a ring");
    }
    close(shared);
    return static_cast<uint8_t*>(base);
  }

  void writePiece(uint64_t at) {
    ssize_t done = pwrite(file_, memory_ + at % kRingBytes, kPieceBytes, static_cast<off_t>(at % kFileBytes));
    if (done != static_cast<ssize_t>(kPieceBytes)) throw std::runtime_error("cannot write to the file of a ring");
  }

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return received_ - written_ >= kPieceBytes; });
      uint64_t at = written_;
      lock.unlock();
      writePiece(at);
      lock.lock();
      written_ += kPieceBytes;
      changed_.notify_all();
    }
  }

  uint8_t* const memory_;
  int file_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t received_ = 0;
  uint64_t written_ = 0;
};
