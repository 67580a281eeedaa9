import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = [
  'README.md',
  'SECURITY.md',
  ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
].filter((name) => name.endsWith('.md'));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

describe('the documentation', () => {
  for (const page of pages) {
    const text = read(page);
    const blocks = [...text.matchAll(/(?:<!-- code: (\S+) -->\n)?```ts\n([\s\S]*?)```/g)];
    for (const [, source, block] of blocks) {
      it(`shows in ${page} the code of ${source}, which is compiled`, () => {
        expect(source, 'every block names its source').to.be.a('string');
        expect(block).to.equal(read(source ?? ''));
      });
    }
    for (const [, file = ''] of text.matchAll(/<!-- test: (\S+) -->/g)) {
      it(`names in ${page} a test that exists: ${file}`, () => {
        expect(read(file)).to.include('it(');
      });
    }
  }
});
