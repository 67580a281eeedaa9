import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { DiskFullStory } from '../../support/audit-disk-full.js';
import { describeOnSmallDisk, onSmallDisk } from '../../support/small-disk.js';

const PROGRAM = fileURLToPath(new URL('../../support/audit-disk-full.js', import.meta.url));

describeOnSmallDisk('an audit log on a disk that becomes full', function () {
  let story: DiskFullStory;

  before(function () {
    this.timeout(60_000);
    story = JSON.parse(onSmallDisk('1m', PROGRAM)) as DiskFullStory;
  });

  it('takes records while they fit', () => {
    expect(story.written).to.be.greaterThan(10);
  });

  it('refuses the whole group that does not fit, and every record after it', () => {
    expect(story.refused).to.equal(7 + 3);
    expect(story.codes).to.deep.equal(['ERR_SPIFFE_AUDIT_UNAVAILABLE']);
    expect(story.causes).to.deep.equal(['ENOSPC']);
    expect(story.logged).to.include('audit records not written');
  });

  it('is intact while it is full', () => {
    expect(story.whileFull).to.deep.equal([]);
  });

  it('goes on without a gap when there is room again', () => {
    // The key is record 0; the outage takes a place too.
    expect(story.resumed).to.deep.equal([1, 2, 3].map((at) => story.written + 1 + at));
    expect(story.gapless).to.equal(true);
    expect(story.records).to.equal(1 + story.written + 1 + 3);
    expect(story.problems).to.deep.equal([]);
  });

  it('says for how many records there was none', () => {
    expect(story.around.map(([code]) => code)[1]).to.equal('log.outage');
    expect(story.outage).to.include({ refused: 10 });
  });
});
