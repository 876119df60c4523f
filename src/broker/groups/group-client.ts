/** Who sends a request of a group's member. */
export interface GroupClient {
  readonly clientId: string;
  readonly clientHost: string;
}
