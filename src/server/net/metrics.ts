/** One request from its first byte handled to its reply handed over. */
export interface RequestMeasurement {
  /** Kafka's name of the API. */
  api: string;
  version: number;
  /** From reception to hand-over of the reply, milliseconds. */
  latencyMs: number;
  requestBytes: number;
  /** 0 if there was no reply. */
  responseBytes: number;
  /** The error codes in the response, those of its topics, partitions and groups among them; no zeros. */
  errorCodes: readonly number[];
  /** The handler failed, and the connection was closed. */
  failed: boolean;
}

/** Where the network part reports what it does; the server exports it to Prometheus. Calls must be cheap and must not throw. */
export interface NetMetrics {
  connectionOpened(listener: string): void;
  connectionClosed(listener: string, reason: string): void;
  /** A connection was closed before it was served, because its address has too many. */
  connectionRefused(listener: string): void;
  /** A request could not be read, or names an API or version that is not served. */
  requestRejected(listener: string): void;
  requestFinished(request: RequestMeasurement): void;
}

export const noMetrics: NetMetrics = {
  connectionOpened() {},
  connectionClosed() {},
  connectionRefused() {},
  requestRejected() {},
  requestFinished() {},
};
