import type { AlterOutcome } from '../../broker/configs/config-manager.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { duplicatesOf } from './duplicates.ts';

interface Resource {
  readonly resourceType: number;
  readonly resourceName: string;
}

interface ResourceResponse extends Resource {
  readonly errorCode: number;
  readonly errorMessage: string | null;
}

/** Alters the resources that are named once and answers for all, as both APIs that alter configurations do. */
export async function alterResources<R extends Resource>(
  resources: readonly R[],
  alter: (distinct: readonly R[]) => Promise<AlterOutcome[]>,
): Promise<ResourceResponse[]> {
  const keyOf = ({ resourceType, resourceName }: Resource) => `${resourceType}:${resourceName}`;
  const duplicates = duplicatesOf(resources.map(keyOf));
  const distinct = resources.filter((resource) => !duplicates.has(keyOf(resource)));
  const repeated = new ApiError(ErrorCode.INVALID_REQUEST, 'Each resource must appear at most once.');
  const refused = resources
    .filter((resource) => duplicates.has(keyOf(resource)))
    .map((resource) => response(resource, repeated));
  let outcomes: AlterOutcome[];
  try {
    outcomes = await alter(distinct);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    outcomes = distinct.map(() => error);
  }
  return [...refused, ...distinct.map((resource, position) => response(resource, outcomes[position]!))];
}

function response({ resourceType, resourceName }: Resource, error: AlterOutcome): ResourceResponse {
  return {
    resourceType,
    resourceName,
    errorCode: error?.code ?? ErrorCode.NONE,
    errorMessage: error?.message ?? null,
  };
}
