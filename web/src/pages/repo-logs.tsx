import { enc } from '../api/client';
import { repoPath } from '../ui/link';
import { Logs } from '../ui/logs';

/** RepoLogs is what happened in a repository. */
export default function RepoLogs({ repo }: { repo: string }) {
  return <Logs place={`repository/${enc(repo)}`} base={repoPath(repo)} />;
}
