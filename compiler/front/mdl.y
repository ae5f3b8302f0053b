/* mdl.y: the grammar of .mdl, edition 1. LALR(1) without conflicts and without precedences.
 *
 * The tokens come from the filter in lex.c, which decides line ends (NL) and contextual keywords.
 * Aliases of tokens are what messages call them. After a wrong statement the filter skips to its
 * end, so `error NL` in the four lists of statements is all the recovery there is. A pseudo token,
 * given first, chooses between a file and one expression. */
%define api.pure full
%define api.prefix {mdl_}
%define api.token.prefix {TOK_}
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%locations
%param { Lexer *lx }
%code requires { #include "lex.h" }
%code provides {
int mdl_lex(MDL_STYPE *value, Span *span, Lexer *lx);
}
%code {
static void mdl_error(const Span *span, Lexer *lx, const char *what);

/* Deep enough for the nesting and depth limits of ast.h; beyond it mdl_error reports E0109. */
#define YYMAXDEPTH 8000
#define YYLLOC_DEFAULT(out, rhs, n) \
    (out) = (n) ? lex_span(lx, YYRHSLOC(rhs, 1).lo, YYRHSLOC(rhs, n).hi) \
                : lex_span(lx, YYRHSLOC(rhs, 0).hi, YYRHSLOC(rhs, 0).hi)
}
%initial-action { @$ = lex_span(lx, 0, 0); }
%union { Ast *n; Sym text; }

%token START_FILE "start of a file" START_EXPR "start of an expression" SEMICOLON "`;`"
/* literals and names */
%token <text> ID "name" INT "integer" FLOAT "number" PERCENT "percentage" QUANTITY "quantity"
%token <text> STRING "string" GLOB "path pattern"
/* statement keywords: contextual, produced only at the start of a statement */
%token <text> BLOCK "block keyword" CLAUSE "clause keyword"
%token IMPORT "`import`" LET "`let`" FN "`fn`" OP "`op`" MODULE "`module`"
%token PARAM "`param`" BUFFER "`buffer`" STATE "`state`" VJP "`vjp`" EVERY "`every`"
/* reserved words */
%token IF "`if`" ELSE "`else`" FOR "`for`" IN "`in`" AS "`as`" WHERE "`where`"
%token AND "`and`" OR "`or`" NOT "`not`" NONE "`none`" TRUE "`true`" FALSE "`false`" INF "`inf`"
%token FROM "`from`" WITH "`with`" OVER "`over`" AFTER "`after`" LIKE "`like`" GROWS "`grows`"
/* operators */
%token NL "end of line" PIPE "`|>`" ARROW "`->`" FATARROW "`=>`" DOTDOT "`..`" QQ "`??`"
%token POW "`**`" FLOORDIV "`//`" EQ "`==`" NE "`!=`" LE "`<=`" GE "`>=`"
%token PLUSEQ "`+=`" MULEQ "`*=`" MAXEQ "`max=`" MINEQ "`min=`"
%token '(' "`(`" ')' "`)`" '[' "`[`" ']' "`]`" '{' "`{`" '}' "`}`" '.' "`.`" ',' "`,`" ':' "`:`"
%token '=' "`=`" '~' "`~`" '?' "`?`" '<' "`<`" '>' "`>`" '+' "`+`" '-' "`-`" '*' "`*`" '/' "`/`"
%token '%' "`%`" '@' "`@`"
%token END 0 "end of file"

%type <n> items item import names name_as let fn op module block
%type <n> formals formal_list formal ret body members member init header hclause stages
%type <n> bstmts bstmt globs ctail cbody stmts stmt block_body exprs ranges type base_type shape
%type <n> dims dim_list dim types qname expr pipe simple orx andx notx cmp range arith term unary
%type <n> power postfix primary ifexpr args arg_list arg indices index opt_expr in_range
%type <n> blockvalue
%type <text> cmpop assign key

%%
start  : START_FILE items
       | START_EXPR expr NL                       { lx->root = $2; }
       ;

/* ---------- files and items ---------- */
items  : %empty                                   { $$ = lx->root = ast_make(lx, A_FILE, @$); }
       | items item                               { $$ = lx->fatal ? $1 : ast_more(lx, $1, $2); }
       | items NL
       ;
item   : import | let | fn | op | module | block
       | error NL                                 { yyerrok; $$ = ast_make(lx, A_ERROR, @$); }
       ;
import : IMPORT qname NL
           { $$ = ast_name(ast_item(lx, A_IMPORT, @$), ast_dotted(lx, $2), @2); }
       | IMPORT qname AS ID NL
           { $$ = ast_text(ast_name(ast_item(lx, A_IMPORT, @$), ast_dotted(lx, $2), @2), $4); }
       | IMPORT qname ':' names NL
           {
               $$ = ast_name(ast_become($4, A_IMPORT, @$), ast_dotted(lx, $2), @2);
               $$->doc = lex_doc(lx, @$.lo);
           }
       ;
names  : name_as                                  { $$ = ast_one(lx, A_IMPORT, @$, $1); }
       | names ',' name_as                        { $$ = ast_more(lx, $1, $3); }
       ;
name_as: ID
           { $$ = ast_text(ast_name(ast_make(lx, A_IMPORT_NAME, @$), $1, @1), $1); }
       | ID AS ID
           { $$ = ast_text(ast_name(ast_make(lx, A_IMPORT_NAME, @$), $1, @1), $3); }
       ;
let    : LET ID '=' expr NL
           { $$ = ast_kid(lx, ast_name(ast_item(lx, A_LET, @$), $2, @2), $4); }
       ;
fn     : FN ID formals ret body NL
           { $$ = ast_kids3(lx, ast_name(ast_item(lx, A_FN, @$), $2, @2), $3, $4, $5); }
       ;
op     : OP ID formals ret body NL
           { $$ = ast_kids3(lx, ast_name(ast_item(lx, A_OP, @$), $2, @2), $3, $4, $5); }
       ;
ret    : %empty                                   { $$ = NULL; }
       | ARROW type                               { $$ = $2; }
       ;
body   : '=' expr                                 { $$ = $2; }
       | block_body
       ;
formals     : '(' ')'                             { $$ = ast_make(lx, A_FORMALS, @$); }
            | '(' formal_list ')'                 { $$ = ast_become($2, A_FORMALS, @$); }
            | '(' formal_list ',' ')'             { $$ = ast_become($2, A_FORMALS, @$); }
            ;
formal_list : formal                              { $$ = ast_one(lx, A_FORMALS, @$, $1); }
            | formal_list ',' formal              { $$ = ast_more(lx, $1, $3); }
            ;
formal : ID
           { $$ = ast_kids2(lx, ast_name(ast_make(lx, A_FORMAL, @$), $1, @1), NULL, NULL); }
       | ID '=' simple
           { $$ = ast_kids2(lx, ast_name(ast_make(lx, A_FORMAL, @$), $1, @1), NULL, $3); }
       | ID ':' type
           { $$ = ast_kids2(lx, ast_name(ast_make(lx, A_FORMAL, @$), $1, @1), $3, NULL); }
       | ID ':' type '=' simple
           { $$ = ast_kids2(lx, ast_name(ast_make(lx, A_FORMAL, @$), $1, @1), $3, $5); }
       ;

/* ---------- modules ---------- */
module : MODULE ID formals '{' members '}' NL
           { $$ = ast_kids2(lx, ast_name(ast_item(lx, A_MODULE, @$), $2, @2), $3, $5); }
       ;
members: %empty                                   { $$ = ast_make(lx, A_MEMBERS, @$); }
       | members member                           { $$ = ast_more(lx, $1, $2); }
       | members NL
       ;
member : let | fn
       | PARAM ID ':' type init key NL
           {
               $$ = ast_text(ast_name(ast_item(lx, A_PARAM, @$), $2, @2), $6);
               ast_kids2(lx, $$, $4, $5);
           }
       | BUFFER ID ':' type init key NL
           {
               $$ = ast_text(ast_name(ast_item(lx, A_BUFFER, @$), $2, @2), $6);
               ast_kids2(lx, $$, $4, $5);
           }
       | STATE ID ':' type GROWS ID NL
           {
               $$ = ast_text(ast_name(ast_item(lx, A_STATE, @$), $2, @2), $6);
               ast_kid(lx, $$, $4);
           }
       | STATE ID ':' type NL
           { $$ = ast_kid(lx, ast_name(ast_item(lx, A_STATE, @$), $2, @2), $4); }
       | ID ':' postfix key NL
           {
               $$ = ast_text(ast_name(ast_item(lx, A_SUB, @$), $1, @1), $4);
               ast_kid(lx, $$, $3);
           }
       | ID '[' simple ']' ':' postfix key NL
           {
               $$ = ast_text(ast_name(ast_item(lx, A_ARRAY, @$), $1, @1), $7);
               ast_kids2(lx, $$, $3, $6);
           }
       | ID AS STRING NL
           { $$ = ast_text(ast_name(ast_item(lx, A_REKEY, @$), $1, @1), $3); }
       | WHERE simple NL
           { $$ = ast_kid(lx, ast_item(lx, A_WHERE, @$), $2); }
       | WHERE simple ':' STRING NL
           { $$ = ast_text(ast_kid(lx, ast_item(lx, A_WHERE, @$), $2), $4); }
       | IF simple '{' members '}' NL
           { $$ = ast_kids3(lx, ast_item(lx, A_MEMBER_IF, @$), $2, $4, NULL); }
       | IF simple '{' members '}' ELSE '{' members '}' NL
           { $$ = ast_kids3(lx, ast_item(lx, A_MEMBER_IF, @$), $2, $4, $8); }
       | error NL                                 { yyerrok; $$ = ast_make(lx, A_ERROR, @$); }
       ;
init   : %empty                                   { $$ = NULL; }
       | '~' simple                               { $$ = $2; }
       ;
key    : %empty                                   { $$ = NULL; }
       | AS STRING                                { $$ = $2; }
       ;

/* ---------- blocks: model data tokenizer template train stage eval chat mesh ... ---------- */
block  : BLOCK ID header blockvalue NL
           {
               Ast *b = ast_text(ast_name(ast_item(lx, A_BLOCK, @$), $2, @2), $1);
               $$ = ast_kids2(lx, ast_kids2(lx, b, $3, NULL), $4->kid[0], $4->kid[1]);
           }
       | BLOCK ID formals header blockvalue NL
           {
               Ast *b = ast_text(ast_name(ast_item(lx, A_BLOCK, @$), $2, @2), $1);
               $$ = ast_kids2(lx, ast_kids2(lx, b, $4, $3), $5->kid[0], $5->kid[1]);
           }
       ;
header : %empty                                   { $$ = ast_make(lx, A_HEADER, @$); }
       | header hclause                           { $$ = ast_more(lx, $1, $2); }
       ;
hclause: AFTER stages                             { $$ = ast_become($2, A_AFTER, @$); }
       | LIKE qname                               { $$ = ast_one(lx, A_LIKE, @$, $2); }
       | AS ID
           { $$ = ast_name(ast_make(lx, A_BLOCK_AS, @$), $2, @2); }
       ;
stages : qname                                    { $$ = ast_one(lx, A_AFTER, @$, $1); }
       | stages ',' qname                         { $$ = ast_more(lx, $1, $3); }
       ;
/* a pair, taken apart by block */
blockvalue
       : '{' bstmts '}'
           { $$ = ast_two(lx, A_BLOCK, @$, NULL, ast_become($2, A_BODY, @$)); }
       | '=' expr
           { $$ = ast_two(lx, A_BLOCK, @$, $2, NULL); }
       | '=' expr '{' bstmts '}'

           {
               Ast *body = ast_become($4, A_BODY, lex_span(lx, @3.lo, @5.hi));
               $$ = ast_two(lx, A_BLOCK, @$, $2, body);
           }
       ;
bstmts : %empty                                   { $$ = ast_make(lx, A_BODY, @$); }
       | bstmts bstmt                             { $$ = ast_more(lx, $1, $2); }
       | bstmts NL
       ;
bstmt  : ID '=' expr NL
           { $$ = ast_kid(lx, ast_name(ast_item(lx, A_ATTR, @$), $1, @1), $3); }
       | ID ':' type '=' expr NL
           { $$ = ast_kids2(lx, ast_name(ast_item(lx, A_FIELD, @$), $1, @1), $3, $5); }
       | ID '{' bstmts '}' NL
           { $$ = ast_kid(lx, ast_name(ast_item(lx, A_SUBGROUP, @$), $1, @1), $3); }
       | STRING ARROW expr NL
           { $$ = ast_kid(lx, ast_text(ast_item(lx, A_MAPPING, @$), $1), $3); }
       | EVERY QUANTITY ':' exprs NL
           { $$ = ast_text(ast_become($4, A_EVERY, @$), $2); }
       | CLAUSE globs ctail cbody NL
           { $$ = ast_kids3(lx, ast_text(ast_item(lx, A_CLAUSE, @$), $1), $2, $3, $4); }
       | block | let
       | error NL                                 { yyerrok; $$ = ast_make(lx, A_ERROR, @$); }
       ;
globs  : GLOB
           { $$ = ast_one(lx, A_GLOBS, @$, ast_leaf(lx, A_GLOB, @1, $1)); }
       | globs ',' GLOB
           { $$ = ast_more(lx, $1, ast_leaf(lx, A_GLOB, @3, $3)); }
       ;
ctail  : %empty                                   { $$ = NULL; }
       | WITH postfix                             { $$ = ast_one(lx, A_WITH, @$, $2); }
       | FROM postfix                             { $$ = ast_one(lx, A_FROM, @$, $2); }
       | OVER ID
           { $$ = ast_name(ast_make(lx, A_OVER, @$), $2, @2); }
       ;
cbody  : %empty                                   { $$ = NULL; }
       | '{' bstmts '}'                           { $$ = ast_become($2, A_BODY, @$); }
       ;

/* ---------- statements of fn and op bodies ---------- */
block_body : '{' stmts '}'                        { $$ = ast_become($2, A_STMTS, @$); }
       ;
stmts  : %empty                                   { $$ = ast_make(lx, A_STMTS, @$); }
       | stmts stmt                               { $$ = ast_more(lx, $1, $2); }
       | stmts NL
       ;
stmt   : exprs NL                                 { $$ = ast_become($1, A_RESULT, @$); }
       | exprs assign expr NL
           {
               $$ = ast_text(ast_make(lx, A_BIND, @$), $2);
               ast_kids2(lx, ast_kids2(lx, $$, ast_left(lx, $1), $3), NULL, NULL);
           }
       | exprs ':' type assign expr NL
           {
               $$ = ast_text(ast_make(lx, A_BIND, @$), $4);
               ast_kids2(lx, ast_kids2(lx, $$, ast_left(lx, $1), $5), $3, NULL);
           }
       | exprs assign expr WHERE ranges NL
           {
               $$ = ast_text(ast_make(lx, A_BIND, @$), $2);
               ast_kids2(lx, ast_kids2(lx, $$, ast_left(lx, $1), $3), NULL, $5);
           }
       | let
       | FOR ID IN expr block_body NL
           { $$ = ast_kids2(lx, ast_name(ast_make(lx, A_FOR, @$), $2, @2), $4, $5); }
       | VJP ID block_body NL
           { $$ = ast_kid(lx, ast_name(ast_make(lx, A_VJP, @$), $2, @2), $3); }
       | error NL                                 { yyerrok; $$ = ast_make(lx, A_ERROR, @$); }
       ;
ranges : in_range                                 { $$ = ast_one(lx, A_RANGES, @$, $1); }
       | ranges ',' in_range                      { $$ = ast_more(lx, $1, $3); }
       ;
in_range : ID IN range
           { $$ = ast_kid(lx, ast_name(ast_make(lx, A_IN, @$), $1, @1), $3); }
       ;
assign : '='                                      { $$ = lex_text(lx, @1); }
       | PLUSEQ                                   { $$ = lex_text(lx, @1); }
       | MULEQ                                    { $$ = lex_text(lx, @1); }
       | MAXEQ                                    { $$ = lex_text(lx, @1); }
       | MINEQ                                    { $$ = lex_text(lx, @1); }
       ;
exprs  : expr                                     { $$ = ast_one(lx, A_EXPRS, @$, $1); }
       | exprs ',' expr                           { $$ = ast_more(lx, $1, $3); }
       ;

/* ---------- types ---------- */
type   : base_type
       | base_type '?'                            { $$ = ast_one(lx, A_T_OPTIONAL, @$, $1); }
       ;
base_type : qname                                 { $$ = ast_one(lx, A_T_NAME, @$, $1); }
       | shape
           { $$ = ast_spread(lx, ast_make(lx, A_T_TENSOR, @$), NULL, $1); }
       | qname shape
           { $$ = ast_spread(lx, ast_make(lx, A_T_TENSOR, @$), $1, $2); }
       | '(' types ')'
           { $$ = $2->nkid == 1 ? $2->kid[0] : ast_become($2, A_T_TUPLE, @$); }
       ;
types  : type                                     { $$ = ast_one(lx, A_T_TUPLE, @$, $1); }
       | types ',' type                           { $$ = ast_more(lx, $1, $3); }
       ;
shape  : '[' dims ']'                             { $$ = $2; }
       ;
dims   : %empty                                   { $$ = ast_make(lx, A_EXPRS, @$); }
       | dim_list
       ;
dim_list : dim                                    { $$ = ast_one(lx, A_EXPRS, @$, $1); }
       | dim_list ',' dim                         { $$ = ast_more(lx, $1, $3); }
       ;
dim    : arith
       | DOTDOT                                   { $$ = ast_make(lx, A_PACK, @$); }
       | DOTDOT ID
           { $$ = ast_name(ast_make(lx, A_PACK, @$), $2, @2); }
       ;
qname  : ID                                       { $$ = ast_id(lx, $1, @1); }
       | qname '.' ID
           { $$ = ast_kid(lx, ast_name(ast_make(lx, A_MEMBER, @$), $3, @3), $1); }
       ;

/* ---------- expressions, loosest first ---------- */
expr   : pipe
       | pipe FATARROW expr                       { $$ = ast_lambda(lx, $1, $3, @$); }
       | pipe FATARROW block_body                 { $$ = ast_lambda(lx, $1, $3, @$); }
       ;
pipe   : simple
       | pipe PIPE simple                         { $$ = ast_two(lx, A_PIPE, @$, $1, $3); }
       | pipe AS type                             { $$ = ast_two(lx, A_AS, @$, $1, $3); }
       ;
simple : orx
       | simple QQ orx                            { $$ = ast_two(lx, A_COALESCE, @$, $1, $3); }
       ;
orx    : andx
       | orx OR andx                              { $$ = ast_two(lx, A_OR, @$, $1, $3); }
       ;
andx   : notx
       | andx AND notx                            { $$ = ast_two(lx, A_AND, @$, $1, $3); }
       ;
notx   : cmp
       | NOT notx                                 { $$ = ast_one(lx, A_NOT, @$, $2); }
       ;
cmp    : range
       | range cmpop range
           { $$ = ast_kids2(lx, ast_leaf(lx, A_CMP, @$, $2), $1, $3); }
       ;
cmpop  : EQ                                       { $$ = lex_text(lx, @1); }
       | NE                                       { $$ = lex_text(lx, @1); }
       | '<'                                      { $$ = lex_text(lx, @1); }
       | '>'                                      { $$ = lex_text(lx, @1); }
       | LE                                       { $$ = lex_text(lx, @1); }
       | GE                                       { $$ = lex_text(lx, @1); }
       ;
range  : arith
       | arith DOTDOT arith                       { $$ = ast_two(lx, A_RANGE, @$, $1, $3); }
       ;
arith  : term
       | arith '+' term                           { $$ = ast_binary(lx, @2, $1, $3, @$); }
       | arith '-' term                           { $$ = ast_binary(lx, @2, $1, $3, @$); }
       ;
term   : unary
       | term '*' unary                           { $$ = ast_binary(lx, @2, $1, $3, @$); }
       | term '/' unary                           { $$ = ast_binary(lx, @2, $1, $3, @$); }
       | term FLOORDIV unary                      { $$ = ast_binary(lx, @2, $1, $3, @$); }
       | term '%' unary                           { $$ = ast_binary(lx, @2, $1, $3, @$); }
       | term '@' unary                           { $$ = ast_binary(lx, @2, $1, $3, @$); }
       ;
unary  : power
       | '-' unary                                { $$ = ast_one(lx, A_NEG, @$, $2); }
       ;
power  : postfix
       | postfix POW unary                        { $$ = ast_binary(lx, @2, $1, $3, @$); }
       ;
postfix: primary
       | postfix '(' args ')'
           { $$ = ast_spread(lx, ast_make(lx, A_CALL, @$), $1, $3); }
       | postfix '[' indices ']'
           { $$ = ast_spread(lx, ast_make(lx, A_INDEX, @$), $1, $3); }
       | postfix '.' ID
           { $$ = ast_kid(lx, ast_name(ast_make(lx, A_MEMBER, @$), $3, @3), $1); }
       | postfix '.' INT
           { $$ = ast_kid(lx, ast_name(ast_make(lx, A_MEMBER, @$), $3, @3), $1); }
       ;
primary: ID                                       { $$ = ast_id(lx, $1, @1); }
       | INT                                      { $$ = ast_leaf(lx, A_INT, @1, $1); }
       | FLOAT                                    { $$ = ast_leaf(lx, A_FLOAT, @1, $1); }
       | PERCENT                                  { $$ = ast_leaf(lx, A_PERCENT, @1, $1); }
       | QUANTITY                                 { $$ = ast_leaf(lx, A_QUANTITY, @1, $1); }
       | STRING                                   { $$ = ast_leaf(lx, A_STRING, @1, $1); }
       | TRUE                                     { $$ = ast_make(lx, A_TRUE, @$); }
       | FALSE                                    { $$ = ast_make(lx, A_FALSE, @$); }
       | NONE                                     { $$ = ast_make(lx, A_NONE, @$); }
       | INF                                      { $$ = ast_make(lx, A_INF, @$); }
       | '(' args ')'                             { $$ = ast_paren(lx, $2, @$); }
       | '[' args ']'                             { $$ = ast_list(lx, $2, @$); }
       | ifexpr
       ;
ifexpr : IF simple block_body
           { $$ = ast_kids3(lx, ast_make(lx, A_IF, @$), $2, $3, NULL); }
       | IF simple block_body ELSE block_body
           { $$ = ast_kids3(lx, ast_make(lx, A_IF, @$), $2, $3, $5); }
       | IF simple block_body ELSE ifexpr
           { $$ = ast_kids3(lx, ast_make(lx, A_IF, @$), $2, $3, $5); }
       ;
args   : %empty                                   { $$ = ast_make(lx, A_EXPRS, @$); }
       | arg_list
       | arg_list ','
       ;
arg_list : arg                                    { $$ = ast_one(lx, A_EXPRS, @$, $1); }
       | arg_list ',' arg                         { $$ = ast_more(lx, $1, $3); }
       ;
arg    : expr
       | ID ':' expr
           { $$ = ast_kid(lx, ast_name(ast_make(lx, A_NAMED, @$), $1, @1), $3); }
       ;
indices: index                                    { $$ = ast_one(lx, A_EXPRS, @$, $1); }
       | indices ',' index                        { $$ = ast_more(lx, $1, $3); }
       ;
index  : expr
       | opt_expr ':' opt_expr                    { $$ = ast_two(lx, A_SLICE, @$, $1, $3); }
       | DOTDOT                                   { $$ = ast_make(lx, A_PACK, @$); }
       | DOTDOT ID
           { $$ = ast_name(ast_make(lx, A_PACK, @$), $2, @2); }
       ;
opt_expr : %empty                                 { $$ = NULL; }
       | expr
       ;
%%
/* Called only when the parser's stack is full. */
static void mdl_error(const Span *span, Lexer *lx, const char *what)
{
    UNUSED(what);
    lex_too_large(lx, *span, "this is nested too deeply");
}

static int yyreport_syntax_error(const yypcontext_t *context, Lexer *lx)
{
    SyntaxError e = {.span = *yypcontext_location(context)};
    yysymbol_kind_t found = yypcontext_token(context), expected[YYNTOKENS];
    int n = yypcontext_expected_tokens(context, expected, YYNTOKENS);
    if (n == YYENOMEM)
        return YYENOMEM;
    e.found = found == YYSYMBOL_YYEMPTY ? "end of file" : yysymbol_name(found);
    for (int i = 0; i < n && e.n < SYNTAX_NAMES; i++)
        e.expected[e.n++] = yysymbol_name(expected[i]);
    syntax_error(lx, &e);
    return 0;
}
