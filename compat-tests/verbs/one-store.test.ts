import { describeOneStore } from '../fabric/one-store.ts';
import { VERBS } from './way.ts';

describeOneStore(VERBS);
