// How the addon's threads begin.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace kafabric {

/**
 * Starts a thread that takes no signals: they are Node's business, whose own threads take them. What the thread itself is at fault for is another
 * matter: SIGBUS, where it copies with a guard. `name`: at most 15 characters.
 */
template <typename Body>
std::thread startThread(const char* name, Body body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread.native_handle(), name);
  return thread;
}

}  // namespace kafabric
