import { Content } from '@patternfly/react-core';
import { lazy, Suspense } from 'react';

const Markdown = lazy(() => import('./markdown'));

/** LazyMarkdown shows Markdown, and its plain text until the code for it is there. */
export function LazyMarkdown({ text }: { text: string }) {
  return (
    <Suspense fallback={<Content component="p">{text}</Content>}>
      <Markdown text={text} />
    </Suspense>
  );
}
