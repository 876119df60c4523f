import type { LogManager } from '../../backend/log/log-manager.ts';
import type { LogDirMoves } from '../../broker/partitions/moves/log-dir-moves.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** What is known of the data directories, and what moves between them keep count of. */
export function logDirMetrics({ directories }: LogManager, moves: LogDirMoves): MetricSource[] {
  const { metrics } = moves;
  const all = () => [...moves.moves()];
  return [
    {
      name: 'kafabric_log_dirs_out_of_use',
      help: 'Data directories that have failed, or could not be used at the start.',
      read: () => directories.filter(({ error }) => error !== null).length,
    },
    {
      name: 'kafabric_log_dir_moves_running',
      help: 'Partitions that are being moved to another data directory, or wait for that.',
      read: () => all().length,
    },
    {
      name: 'kafabric_log_dir_moves_max_lag',
      help: 'The most records that the copy of a partition lacks that is being moved to another data directory.',
      read: () => all().reduce((most, { lag }) => Math.max(most, Number(lag)), 0),
    },
    counter(
      'kafabric_log_dir_moves_completed_total',
      'Partitions that were moved to another data directory.',
      () => metrics.completed,
    ),
    counter(
      'kafabric_log_dir_moves_failed_total',
      'Moves of partitions to another data directory that were given up because they failed.',
      () => metrics.failures,
    ),
    counter(
      'kafabric_log_dir_moved_bytes_total',
      'Bytes that were copied to move partitions to another data directory.',
      () => metrics.bytes,
    ),
  ];
}
