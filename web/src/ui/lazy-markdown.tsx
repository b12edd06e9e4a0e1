import { Content } from '@patternfly/react-core';
import { later } from './later';

/** LazyMarkdown shows Markdown, and its plain text until the code for it is there. */
export const LazyMarkdown = later<{ text: string }>(
  () => import('./markdown').then((m) => m.default),
  ({ text }) => <Content component="p">{text}</Content>,
);
