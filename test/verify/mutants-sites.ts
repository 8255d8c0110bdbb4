import ts from 'typescript';

/** One small change of a source file. */
export interface Mutant {
  /** Path relative to the root of the repository. */
  readonly file: string;
  readonly line: number;
  /** The changed line around what was changed: `if («day > today → day >= today») return false`. */
  readonly change: string;
  /** The whole file with the change. */
  readonly text: string;
}

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly by: string;
}

const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '===': ['!=='],
  '!==': ['==='],
  '&&': ['||'],
  '||': ['&&'],
  '&&=': ['||='],
  '-': ['+'],
  '*': ['/'],
  '/': ['*'],
  '%': ['*'],
};

/**
 * Every comparison and boolean operator turned, every number one more and one less, every refusal and every awaited
 * action left out, each alone. Types are not looked at: what would not compile counts as killed if a test notices it.
 */
export function mutantsOf(file: string, text: string): Mutant[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
  const edits: Edit[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isInterfaceDeclaration(node)) {
      return;
    }
    if (isCache(node, source) || isTelling(node, source)) return;
    edits.push(...editsOf(node, source));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return edits.map((edit) => mutant(file, source, edit));
}

function mutant(file: string, source: ts.SourceFile, { start, end, by }: Edit): Mutant {
  const { text } = source;
  const [lineStart, lineEnd] = [text.lastIndexOf('\n', start) + 1, text.indexOf('\n', end)];
  const [before, after] = [text.slice(lineStart, start), text.slice(end, lineEnd)];
  const change = `${before}«${text.slice(start, end)} → ${by}»${after}`.replace(/\s+/g, ' ').trim();
  const line = source.getLineAndCharacterOfPosition(start).line + 1;
  return { file, line, change, text: text.slice(0, start) + by + text.slice(end) };
}

function editsOf(node: ts.Node, source: ts.SourceFile): Edit[] {
  const replace = (target: ts.Node, ...by: string[]): Edit[] =>
    by.map((text) => ({ start: target.getStart(source), end: target.end, by: text }));
  if (ts.isBinaryExpression(node)) {
    const { left, operatorToken, right } = node;
    const operator = operatorToken.getText(source);
    if (operator === '??') return replace(node, left.getText(source), right.getText(source));
    return replace(operatorToken, ...(OPERATORS[operator] ?? []));
  }
  if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) {
    return replace(node, node.operand.getText(source));
  }
  if (ts.isConditionalExpression(node))
    return replace(node.condition, ...turned(node.condition, source));
  if (ts.isIfStatement(node)) {
    const refusal = isRefusal(node) ? replace(node, ';') : [];
    return [...refusal, ...replace(node.expression, ...turned(node.expression, source))];
  }
  if (ts.isNumericLiteral(node)) return replace(node, ...neighbours(node.getText(source)));
  if (node.kind === ts.SyntaxKind.TrueKeyword) return replace(node, 'false');
  if (node.kind === ts.SyntaxKind.FalseKeyword) return replace(node, 'true');
  if (ts.isExpressionStatement(node) && isAction(node.expression)) return replace(node, ';');
  return [];
}

/** What is told to logs and metrics decides nothing. */
const isTelling = (node: ts.Node, source: ts.SourceFile): boolean =>
  (ts.isIfStatement(node) && isReport(node.thenStatement, source) && !node.elseStatement) ||
  isReport(node, source);

const isReport = (node: ts.Node, source: ts.SourceFile): boolean =>
  ts.isExpressionStatement(node) &&
  ts.isCallExpression(node.expression) &&
  node.expression.expression.getText(source) === 'report';

/** How much is remembered decides nothing. */
const isCache = (node: ts.Node, source: ts.SourceFile): boolean =>
  ts.isNewExpression(node) && node.expression.getText(source) === 'LRUCache';

/** A condition that has no operator of its own to turn. */
function turned(condition: ts.Expression, source: ts.SourceFile): string[] {
  const hasOperator =
    ts.isPrefixUnaryExpression(condition) ||
    (ts.isBinaryExpression(condition) && condition.operatorToken.getText(source) in OPERATORS);
  return hasOperator ? [] : [`!(${condition.getText(source)})`];
}

/** `if (…) return …` and the like, without another branch. */
function isRefusal({ thenStatement, elseStatement }: ts.IfStatement): boolean {
  const only =
    ts.isBlock(thenStatement) && thenStatement.statements.length === 1
      ? thenStatement.statements[0]
      : thenStatement;
  return (
    elseStatement === undefined &&
    only !== undefined &&
    (ts.isReturnStatement(only) || ts.isThrowStatement(only) || ts.isContinueStatement(only))
  );
}

/** A call for its effect. */
const isAction = (expression: ts.Expression): boolean =>
  ts.isCallExpression(ts.isAwaitExpression(expression) ? expression.expression : expression);

function neighbours(text: string): string[] {
  const value = Number(text.replaceAll('_', ''));
  return value === 0 ? ['1'] : [String(value + 1), String(value - 1)];
}
