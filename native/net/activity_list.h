// Connections in the order of their last activity.
#pragma once

#include <cstdint>

#include "net/connection.h"

namespace kafabric::net {

/** An intrusive list: every operation is constant time, whatever the number of connections. */
class ActivityList {
 public:
  Connection* oldest() const { return oldest_; }

  void add(Connection& connection, uint64_t nowMs) {
    connection.activeAtMs = nowMs;
    connection.older = newest_;
    connection.newer = nullptr;
    (newest_ ? newest_->newer : oldest_) = &connection;
    newest_ = &connection;
  }

  void remove(Connection& connection) {
    (connection.older ? connection.older->newer : oldest_) = connection.newer;
    (connection.newer ? connection.newer->older : newest_) = connection.older;
  }

  void touch(Connection& connection, uint64_t nowMs) {
    if (connection.activeAtMs == nowMs || newest_ == &connection) {
      connection.activeAtMs = nowMs;
      return;
    }
    remove(connection);
    add(connection, nowMs);
  }

 private:
  Connection* oldest_ = nullptr;
  Connection* newest_ = nullptr;
};

}  // namespace kafabric::net
