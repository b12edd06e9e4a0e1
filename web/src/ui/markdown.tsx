import { lexer, type Token, type Tokens } from 'marked';
import { Fragment, type ReactNode } from 'react';

/** safeHref is an address that a user's text may lead to; undefined = none: scripts and data are no links. */
export function safeHref(href: string): string | undefined {
  return /^(https?:|mailto:|\/(?!\/)|#)/i.test(href.trim()) ? href.trim() : undefined;
}

const unescape = (s: string) => s.replace(/&(amp|lt|gt|quot|#39);/g, (_, e: string) => ({ amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" })[e] ?? '');

function inside(tokens: Token[] | undefined): ReactNode {
  return tokens?.map((x, i) => <Fragment key={i}>{one(x)}</Fragment>);
}

// one makes elements of a token: no HTML is ever parsed, so that what users
// write can bring no markup of its own.
function one(x: Token): ReactNode {
  switch (x.type) {
    case 'space':
    case 'def':
      return null;
    case 'heading': {
      const H = `h${Math.min(6, (x as Tokens.Heading).depth + 2)}` as 'h3';
      return <H>{inside(x.tokens)}</H>;
    }
    case 'paragraph':
      return <p>{inside(x.tokens)}</p>;
    case 'strong':
      return <strong>{inside(x.tokens)}</strong>;
    case 'em':
      return <em>{inside(x.tokens)}</em>;
    case 'del':
      return <del>{inside(x.tokens)}</del>;
    case 'codespan':
      return <code>{unescape((x as Tokens.Codespan).text)}</code>;
    case 'code':
      return (
        <pre tabIndex={0}>
          <code>{(x as Tokens.Code).text}</code>
        </pre>
      );
    case 'br':
      return <br />;
    case 'hr':
      return <hr />;
    case 'blockquote':
      return <blockquote>{inside(x.tokens)}</blockquote>;
    case 'list': {
      const l = x as Tokens.List;
      const items = l.items.map((item, i) => (
        <li key={i}>
          {item.task && (item.checked ? '☑ ' : '☐ ')}
          {inside(item.tokens.filter((y) => (y.type as string) !== 'checkbox'))}
        </li>
      ));
      return l.ordered ? <ol start={l.start || 1}>{items}</ol> : <ul>{items}</ul>;
    }
    case 'table': {
      const tb = x as Tokens.Table;
      return (
        <table>
          <thead>
            <tr>{tb.header.map((c, i) => <th key={i}>{inside(c.tokens)}</th>)}</tr>
          </thead>
          <tbody>
            {tb.rows.map((r, i) => (
              <tr key={i}>{r.map((c, j) => <td key={j}>{inside(c.tokens)}</td>)}</tr>
            ))}
          </tbody>
        </table>
      );
    }
    case 'link':
    case 'image': {
      // A picture of another site would tell it who looks: it is a link.
      const l = x as Tokens.Link;
      const href = safeHref(l.href);
      const text = x.type === 'image' ? unescape(l.text) || l.href : inside(l.tokens);
      return href ? <a href={href} rel="noopener noreferrer nofollow">{text}</a> : text;
    }
    case 'text':
      return x.tokens ? inside(x.tokens) : unescape((x as Tokens.Text).text);
    case 'escape':
      return unescape((x as Tokens.Escape).text);
  }
  return 'raw' in x ? x.raw : null; // HTML too: as the text that it is
}

/** Markdown shows what a user wrote. */
export default function Markdown({ text }: { text: string }) {
  return <div className="g-md">{inside(lexer(text.slice(0, 64_000)))}</div>;
}
