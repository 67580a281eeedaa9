import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { AgentOnFullDisk } from '../support/agent-disk-full.js';
import { describeOnSmallDisk, onSmallDisk } from '../support/small-disk.js';

const PROGRAM = fileURLToPath(new URL('../support/agent-disk-full.js', import.meta.url));

describeOnSmallDisk('attack: a disk that becomes full under an agent', function () {
  let story: AgentOnFullDisk;

  before(function () {
    this.timeout(60_000);
    story = JSON.parse(onSmallDisk('1m', PROGRAM)) as AgentOnFullDisk;
  });

  it('lets nothing run that cannot be recorded', () => {
    expect(story.ran[0]).to.be.greaterThan(10);
    expect(story.ran[1]).to.equal(story.ran[0]);
    expect(story.codes).to.deep.equal(Array(10).fill('ERR_SPIFFE_AUDIT_UNAVAILABLE'));
  });

  it('lets the agent go on when there is room again, and has all that it did on record (twin)', () => {
    expect(story.resumed).to.equal('acted');
    expect(story.unrecorded).to.deep.equal([]);
    expect(story.problems).to.deep.equal([]);
  });
});
