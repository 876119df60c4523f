#include "fabric/library.h"

#include <dlfcn.h>

#include <cstdlib>

#include "fabric/signal_handlers.h"

namespace kafabric::fabric {

namespace {

/** What the loader looks for in LD_LIBRARY_PATH and its cache, and where sites put it otherwise. */
constexpr const char* kCandidates[] = {
    "libfabric.so.1",
    "/opt/cray/libfabric/lib64/libfabric.so.1",
    "/opt/cray/lib64/libfabric.so.1",
    "/opt/amazon/efa/lib64/libfabric.so.1",
    "/opt/amazon/efa/lib/libfabric.so.1",
    "/opt/libfabric/lib/libfabric.so.1",
    "/usr/local/lib64/libfabric.so.1",
    "/usr/local/lib/libfabric.so.1",
    "/usr/lib64/libfabric.so.1",
    "/usr/lib/libfabric.so.1",
    "libfabric.so",
};

/**
 * How many peers' worth of completions ofi_rxm makes its queues for. Ours do not grow with the peers, for BulkLimits::maxInFlight bounds them; the library's own
 * 256 are more than a queue of soft-RoCE, and of some cards, can hold, and the endpoint does not open.
 */
constexpr const char* kUniverseSize = "16";

/**
 * Otherwise the library writes jumps over the beginnings of the C library's mmap, munmap, madvise and others when a domain is opened, to learn which memory its cache of
 * registrations may not keep. A thread that is just then inside one of them (Node has such threads, and so has the arena) returns into the middle of what was
 * overwritten, and the process dies. We register memory ourselves, once, and have no use for the cache.
 */
constexpr const char* kMemoryMonitor = "disabled";

/**
 * From version 2.0 on: ofi_rxm of 2.5.1 over verbs posts a buffer for receiving to a connection that it has just freed, when a peer closes it (libfabric's issue 11828 and
 * pull request 12674), and the process dies. One queue for all connections is not freed.
 */
constexpr const char* kSharedReceiveQueue = "FI_OFI_RXM_USE_SRX";

constexpr const char* kInstall =
    "install it (Debian, Ubuntu: apt-get install libfabric1; Fedora, RHEL: dnf install libfabric), load the site's module "
    "(module load libfabric), or set fabric.library to its path";

std::string versionOf(uint32_t version) {
  return std::to_string(FI_MAJOR(version)) + "." + std::to_string(FI_MINOR(version));
}

std::string explain(const std::vector<std::string>& tried) {
  std::string message = "libfabric cannot be used; tried ";
  for (size_t i = 0; i < tried.size(); ++i) message += (i > 0 ? "; " : "") + tried[i];
  return message + ". To have it, " + kInstall;
}

}  // namespace

void Library::prepareEnvironment() {
  ::setenv("IPATH_NO_BACKTRACE", "1", 0);
  ::setenv("FI_UNIVERSE_SIZE", kUniverseSize, 0);
  ::setenv("FI_MR_CACHE_MONITOR", kMemoryMonitor, 0);
}

Library::Opened Library::open(const std::string& configured) {
  prepareEnvironment();
  std::vector<std::string> names;
  if (configured.empty()) names.assign(std::begin(kCandidates), std::end(kCandidates));
  else names.push_back(configured);
  Opened opened;
  for (const std::string& name : names) {
    std::shared_ptr<Library> library(new Library);
    std::string problem = library->load(name);
    if (problem.empty()) {
      opened.tried.push_back(name);
      opened.library = std::move(library);
      return opened;
    }
    opened.tried.push_back(name + " (" + problem + ")");
  }
  opened.error = explain(opened.tried);
  return opened;
}

std::string Library::load(const std::string& name) {
  SignalHandlers handlers;
  void* loaded = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!loaded) {
    const char* reason = ::dlerror();
    std::string text = reason ? reason : "the loader does not say why";
    // "<name>: <reason>"
    return text.compare(0, name.size() + 2, name + ": ") == 0 ? text.substr(name.size() + 2) : text;
  }
  // Never closed again: providers have threads and handlers at exit.
  auto find = [&](auto& function, const char* symbol) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(loaded, symbol));
    return function != nullptr;
  };
  if (!find(getInfo_, "fi_getinfo") || !find(freeInfo_, "fi_freeinfo") || !find(duplicateInfo_, "fi_dupinfo") ||
      !find(fabric_, "fi_fabric") || !find(strerror_, "fi_strerror") || !find(version_, "fi_version"))
    return "it is no libfabric";
  if (version_() < kApiVersion)
    return "it is version " + versionText() + ", " + versionOf(kApiVersion) + " or newer is needed";
  // Before the library first lists providers, which is when it looks.
  if (version_() >= FI_VERSION(2, 0)) ::setenv(kSharedReceiveQueue, "1", 0);
  Dl_info where{};
  path_ = ::dladdr(reinterpret_cast<void*>(version_), &where) != 0 && where.dli_fname ? where.dli_fname : name;
  return {};
}

std::string Library::versionText() const { return versionOf(version()); }

int Library::getInfo(const fi_info* hints, fi_info** list) const {
  SignalHandlers handlers;
  *list = nullptr;
  return getInfo_(kApiVersion, nullptr, nullptr, 0, hints, list);
}

std::string Library::text(int64_t code) const {
  const char* text = strerror_(static_cast<int>(code < 0 ? -code : code));
  return text ? text : "unknown error";
}

}  // namespace kafabric::fabric
