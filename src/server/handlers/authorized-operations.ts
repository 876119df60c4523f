/** Not asked for. */
export const NO_OPERATIONS = -2147483648;

const bits = (...codes: number[]) => codes.reduce((mask, code) => mask | (1 << code), 0);

/**
 * The AclOperation codes that everybody may do while there is no authorizer, as bit masks.
 * 3 read, 4 write, 5 create, 6 delete, 7 alter, 8 describe, 9 cluster action, 10 and 11 describe and alter configs, 12 idempotent write.
 */
export const TOPIC_OPERATIONS = bits(3, 4, 5, 6, 7, 8, 10, 11);
export const CLUSTER_OPERATIONS = bits(5, 7, 8, 9, 10, 11, 12);
