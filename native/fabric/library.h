// libfabric, opened at run time: sites ship their own, with the providers of their network, and none is needed to build or to run without.
#pragma once

#include <rdma/fabric.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kafabric::fabric {

/** The API version that we ask for: the oldest library that is supported. */
constexpr uint32_t kApiVersion = FI_VERSION(1, 17);

class Library {
 public:
  /** What opening came to: a library, or one error that says what was tried and what to install. */
  struct Opened {
    std::shared_ptr<const Library> library;
    std::vector<std::string> tried;  // paths and names, each with the reason if it was not taken
    std::string error;               // empty with a library
  };

  /**
   * Opens `configured` (a file, or a name for the loader; nothing else is tried then), or without one the site's: what the
   * loader finds (LD_LIBRARY_PATH, ld.so.cache), then the usual places of HPC systems. Takes 0.2 s, and the first
   * getInfo as long again: not for the JavaScript thread. The process keeps what it has opened.
   */
  static Opened open(const std::string& configured);

  /**
   * Debian's libfabric loads a library that takes over the handlers of SIGINT, SIGSEGV and others unless the environment says
   * otherwise, ofi_rxm takes the size of its queues from there (FI_UNIVERSE_SIZE, if it is not set), and whether functions of the C library are
   * patched while others run them (FI_MR_CACHE_MONITOR; not unless it is set). `open` sees to it; a program
   * with threads that read the environment calls this before it starts them.
   */
  static void prepareEnvironment();

  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  /** The file that was loaded. */
  const std::string& path() const { return path_; }
  uint32_t version() const { return version_(); }
  /** "1.17" */
  std::string versionText() const;

  /** As fi_getinfo with our API version; 0 or a negative code. Signal handlers stay as they are. */
  int getInfo(const fi_info* hints, fi_info** list) const;
  void freeInfo(fi_info* list) const { freeInfo_(list); }
  /** A copy of one description; of none: an empty one. Null when memory is short. */
  fi_info* duplicate(const fi_info* info) const { return duplicateInfo_(info); }
  int openFabric(fi_fabric_attr* attributes, fid_fabric** fabric) const { return fabric_(attributes, fabric, nullptr); }
  /** The text of a code, positive or negative. */
  std::string text(int64_t code) const;

 private:
  Library() = default;
  /** Empty on success, else why not. */
  std::string load(const std::string& name);

  std::string path_;
  decltype(&::fi_getinfo) getInfo_ = nullptr;
  decltype(&::fi_freeinfo) freeInfo_ = nullptr;
  decltype(&::fi_dupinfo) duplicateInfo_ = nullptr;
  decltype(&::fi_fabric) fabric_ = nullptr;
  decltype(&::fi_strerror) strerror_ = nullptr;
  decltype(&::fi_version) version_ = nullptr;
};

}  // namespace kafabric::fabric
