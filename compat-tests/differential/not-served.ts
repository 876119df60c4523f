/** APIs that Apache Kafka 4.3 announces and this gateway does not: none. */
export const NOT_SERVED: readonly string[] = [];
