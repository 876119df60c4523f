import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type UpdateFeaturesRequest,
  updateFeaturesRequest,
} from '../../protocol/generated/update-features-request.ts';
import {
  type UpdateFeaturesResponse,
  updateFeaturesResponse,
} from '../../protocol/generated/update-features-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** All updates are made or none; from this version on that is all that is told. */
const FIRST_VERSION_WITHOUT_RESULTS = 2;
/** Kafka's upgrade types. */
const UPGRADE = 1;
const UNSAFE_DOWNGRADE = 3;

function outcome(
  { finalizedFeatures, supportedFeatures, nodeId }: ClusterMetadata,
  update: UpdateFeaturesRequest['featureUpdates'][number],
  apiVersion: number,
): { errorCode: ErrorCode; errorMessage: string | null } {
  const { feature, maxVersionLevel: level } = update;
  const type =
    apiVersion === 0 ? (update.allowDowngrade ? UNSAFE_DOWNGRADE - 1 : UPGRADE) : update.upgradeType;
  const refuse = (reason: string) => ({
    errorCode: ErrorCode.INVALID_UPDATE_VERSION,
    errorMessage: `Invalid update version ${level} for feature ${feature}. ${reason}`,
  });
  if (type < UPGRADE || type > UNSAFE_DOWNGRADE)
    return refuse('The controller does not support the given upgrade type.');
  const current = finalizedFeatures.get(feature) ?? 0;
  if (level < 0) return refuse('A feature version cannot be less than 0.');
  const supported = supportedFeatures.find(({ name }) => name === feature);
  if (level !== 0 && supported === undefined)
    return refuse(`Local controller ${nodeId} does not support this feature.`);
  if (level !== 0 && (level < supported!.minLevel || level > supported!.maxLevel))
    return refuse(
      `Local controller ${nodeId} only supports versions ${supported!.minLevel}-${supported!.maxLevel}`,
    );
  if (level < current && type === UPGRADE)
    return refuse(
      "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
    );
  if (level > current && type !== UPGRADE) return refuse("Can't downgrade to a newer version.");
  if (level !== current) return refuse(`This broker serves version ${current} alone.`);
  return { errorCode: ErrorCode.NONE, errorMessage: null };
}

/** UpdateFeatures 0-2: every feature is at the level that this broker serves, and cannot have another one. */
export function updateFeaturesHandler(deps: {
  readonly metadata: ClusterMetadata;
}): ApiHandler<UpdateFeaturesRequest, UpdateFeaturesResponse> {
  return {
    apiKey: updateFeaturesRequest.apiKey,
    minVersion: 0,
    maxVersion: 2,
    request: updateFeaturesRequest,
    response: updateFeaturesResponse,
    handle({ featureUpdates }, { apiVersion }) {
      const outcomes = featureUpdates.map((update) => ({
        feature: update.feature,
        ...outcome(deps.metadata, update, apiVersion),
      }));
      const failed = outcomes.find(({ errorCode }) => errorCode !== ErrorCode.NONE);
      if (failed === undefined) {
        const results = apiVersion < FIRST_VERSION_WITHOUT_RESULTS ? outcomes : [];
        return updateFeaturesResponse.create({ errorMessage: null, results });
      }
      return updateFeaturesResponse.create({
        errorCode: failed.errorCode,
        errorMessage: `The update failed for all features since the following feature had an error: ${failed.errorMessage}`,
      });
    },
  };
}
