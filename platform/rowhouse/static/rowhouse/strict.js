// What lets the admin's look do without 'unsafe-eval'.
//
// The theme's Alpine makes functions of the text of attributes, which a strict policy forbids, and rightly: whoever gets
// an attribute into a page could run anything. Here the same attributes are parsed and worked out, in the small part of
// the language that the theme uses. A name is one of the component's own or one of GLOBALS; from an element or an event
// nothing leads to the window, the document, or to text that becomes elements.
'use strict';

(() => {
  // ---- htmx: no text as script, no styles written into the page, and no pages kept in the browser's storage, where
  // they would stay after their reader has signed out.
  Object.assign(htmx.config, {allowEval: false, includeIndicatorStyles: false, historyCacheSize: 0, selfRequestsOnly: true});

  // ---- what an attribute may name besides its component: functions of the theme's own script, and of others as much as
  // its attributes use.
  const GLOBALS = {
    theme: () => theme,
    searchCommand: () => searchCommand,
    getCurrentTab: () => getCurrentTab,
    sortRecords: () => sortRecords,
    moveRecords: () => moveRecords,
    Math: () => ({min: Math.min, max: Math.max}),
    getComputedStyle: () => (element) => ({direction: getComputedStyle(element).direction}),
    document: () => ({getElementById: (id) => document.getElementById(id)}),
    localStorage: () => ({
      setItem: (key, value) => { if (key === 'sidebarWidth') localStorage.setItem(key, value); },
    }),
    window: () => ({location: {pathname: location.pathname, search: location.search}}),
  };
  const FORBIDDEN = new Set([
    '__proto__', '__defineGetter__', '__defineSetter__', '__lookupGetter__', '__lookupSetter__', 'constructor', 'prototype',
    'caller', 'callee', 'arguments', 'ownerDocument', 'defaultView', 'view', 'getRootNode', 'contentWindow',
    'contentDocument', 'innerHTML', 'outerHTML', 'insertAdjacentHTML', 'setHTMLUnsafe', 'srcdoc', 'src', 'setAttribute',
    'setAttributeNS', 'setAttributeNode', 'attributes', 'attachShadow', 'attachInternals', 'apply', 'call', 'bind',
    'insertAdjacentElement', 'append', 'appendChild', 'prepend', 'replaceWith', 'replaceChildren', 'submit', 'formAction',
  ]);

  // ---- text to words
  const WORD = /\s*(?:(\d+(?:\.\d+)?)|([A-Za-z_$][\w$]*)|(['"])((?:\\[\s\S]|(?!\3)[^\\])*)\3|(`)|(===|!==|\?\?|\?\.|=>|==|!=|<=|>=|&&|\|\||\+\+|--|\+=|-=|[-+*\/%<>=!?:.,;(){}[\]]))/y;
  const ESCAPES = {n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', v: '\v', 0: '\0'};
  const unescaped = (text) => text.replace(/\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\s\S]))/g,
    (_whole, wide, narrow, one) => (one ? (ESCAPES[one] ?? one) : String.fromCharCode(parseInt(wide ?? narrow, 16))));

  function wordsOf(text) {
    const words = [];
    let at = 0;
    while (/\S/.test(text.slice(at))) {
      WORD.lastIndex = at;
      const found = WORD.exec(text);
      if (!found) throw new SyntaxError(`not understood: ${text.slice(at, at + 20)}`);
      at = WORD.lastIndex;
      if (found[1] !== undefined) words.push({is: 'value', value: Number(found[1])});
      else if (found[2] !== undefined) words.push({is: 'name', text: found[2]});
      else if (found[3] !== undefined) words.push({is: 'value', value: unescaped(found[4])});
      else if (found[5] !== undefined) {
        const [word, end] = templateOf(text, at);
        words.push(word);
        at = end;
      } else words.push({is: 'sign', text: found[6]});
    }
    return words;
  }

  function templateOf(text, from) {
    const parts = [];
    let at = from;
    let plain = '';
    while (text[at] !== '`') {
      if (at >= text.length) throw new SyntaxError('a template has no end');
      if (text[at] === '$' && text[at + 1] === '{') {
        const end = text.indexOf('}', at);
        if (end < 0) throw new SyntaxError('a template has no end');
        parts.push(constant(plain), parse(text.slice(at + 2, end)));
        plain = '';
        at = end + 1;
      } else {
        plain += text[at];
        at += 1;
      }
    }
    parts.push(constant(plain));
    return [{is: 'template', run: (scope) => parts.map((part) => part(scope)).join('')}, at + 1];
  }

  // ---- words to functions of a scope
  const constant = (value) => () => value;
  const LEVELS = [['??'], ['||'], ['&&'], ['==', '!=', '===', '!=='], ['<', '>', '<=', '>=', 'in'], ['+', '-'], ['*', '/', '%']];
  const BINARY = {
    '==': (a, b) => a == b, '!=': (a, b) => a != b, '===': (a, b) => a === b, '!==': (a, b) => a !== b,
    '<': (a, b) => a < b, '>': (a, b) => a > b, '<=': (a, b) => a <= b, '>=': (a, b) => a >= b,
    '+': (a, b) => a + b, '-': (a, b) => a - b, '*': (a, b) => a * b, '/': (a, b) => a / b, '%': (a, b) => a % b,
    in: (a, b) => a in b,
  };
  const LITERALS = {true: true, false: false, null: null, undefined: undefined};

  function allowed(name) {
    if (FORBIDDEN.has(String(name))) throw new TypeError(`an attribute may not use ${String(name)}`);
    return name;
  }

  // A place that can be read, and unless it is a call's result be written to: `of` gives [object, name].
  const reading = (of) => (scope) => {
    const [object, name] = of(scope);
    return object[name];
  };

  // What the theme uses without having declared it: assigned where there are no tabs (`activeTab`), where it would become
  // a global elsewhere, or read of an action that has no menu.
  const undeclared = Object.assign(Object.create(null), {actionDropdownOpen: false});

  function named(name) {
    allowed(name);
    const of = (scope, isWritten) => {
      if (name in scope) return [scope, name];
      if (Object.hasOwn(GLOBALS, name)) return [{[name]: GLOBALS[name]()}, name];
      if (isWritten || name in undeclared) return [undeclared, name];
      throw new ReferenceError(`${name} is not defined`);
    };
    const run = reading(of);
    run.of = of;
    return run;
  }

  class Parser {
    constructor(text) {
      this.words = wordsOf(text);
      this.at = 0;
    }

    is(...signs) {
      const word = this.words[this.at];
      return word !== undefined && (word.is === 'sign' || word.is === 'name') && signs.includes(word.text);
    }

    takes(...signs) {
      if (!this.is(...signs)) return null;
      this.at += 1;
      return this.words[this.at - 1].text;
    }

    needs(sign) {
      if (!this.takes(sign)) throw new SyntaxError(`${sign} is missing`);
    }

    // Several, one after the other; the value is the last one's.
    statements(end) {
      const all = [];
      while (this.at < this.words.length && !(end && this.is(end))) {
        if (this.takes(';')) continue;
        all.push(this.statement());
      }
      return (scope) => all.reduce((_last, one) => one(scope), undefined);
    }

    statement() {
      if (!this.takes('if')) {
        const value = this.expression();
        if (this.at < this.words.length && !this.is(';', '}')) throw new SyntaxError('; is missing');
        return value;
      }
      this.needs('(');
      const condition = this.expression();
      this.needs(')');
      const then = this.block();
      const otherwise = this.takes('else') ? this.block() : constant(undefined);
      return (scope) => (condition(scope) ? then : otherwise)(scope);
    }

    block() {
      if (!this.takes('{')) return this.statement();
      const inside = this.statements('}');
      this.needs('}');
      return inside;
    }

    expression() {
      const left = this.choice();
      const sign = this.takes('=', '+=', '-=');
      if (!sign) return left;
      if (!left.of) throw new SyntaxError('nothing can be assigned there');
      const right = this.expression();
      return (scope) => {
        const [object, name] = left.of(scope, sign === '=');
        const value = right(scope);
        return (object[name] = sign === '=' ? value : sign === '+=' ? object[name] + value : object[name] - value);
      };
    }

    choice() {
      const condition = this.level(0);
      if (!this.takes('?')) return condition;
      const yes = this.expression();
      this.needs(':');
      const no = this.expression();
      return (scope) => (condition(scope) ? yes(scope) : no(scope));
    }

    level(number) {
      if (number === LEVELS.length) return this.prefixed();
      let left = this.level(number + 1);
      for (let sign; (sign = this.takes(...LEVELS[number]));) {
        const first = left;
        const second = this.level(number + 1);
        if (sign === '&&') left = (scope) => first(scope) && second(scope);
        else if (sign === '||') left = (scope) => first(scope) || second(scope);
        else if (sign === '??') left = (scope) => first(scope) ?? second(scope);
        else left = ((does) => (scope) => does(first(scope), second(scope)))(BINARY[sign]);
      }
      return left;
    }

    prefixed() {
      const sign = this.takes('!', '-', '+', 'typeof', '++', '--');
      if (!sign) return this.followed();
      const value = this.prefixed();
      if (sign === '!') return (scope) => !value(scope);
      if (sign === '-') return (scope) => -value(scope);
      if (sign === '+') return (scope) => +value(scope);
      if (sign === 'typeof') return (scope) => typeof value(scope);
      return this.counted(value, sign, true);
    }

    counted(place, sign, isBefore) {
      if (!place.of) throw new SyntaxError('nothing can be counted there');
      return (scope) => {
        const [object, name] = place.of(scope);
        const before = object[name];
        object[name] = before + (sign === '++' ? 1 : -1);
        return isBefore ? object[name] : before;
      };
    }

    followed() {
      let value = this.simple();
      for (;;) {
        if (this.takes('.')) value = this.member(value, constant(this.name()), false);
        else if (this.takes('?.')) value = this.member(value, constant(this.name()), true);
        else if (this.takes('[')) {
          value = this.member(value, this.expression(), false);
          this.needs(']');
        } else if (this.takes('(')) value = this.called(value, this.list(')'));
        else break;
      }
      const sign = this.takes('++', '--');
      return sign ? this.counted(value, sign, false) : value;
    }

    member(object, name, mayBeMissing) {
      const of = (scope) => [object(scope), allowed(name(scope))];
      const run = (scope) => {
        const [whole, part] = of(scope);
        return mayBeMissing && (whole === null || whole === undefined) ? undefined : whole[part];
      };
      run.of = of;
      return run;
    }

    called(callee, given) {
      return (scope) => {
        const values = () => given.map((one) => one(scope));
        if (!callee.of) return callee(scope)(...values());
        const [object, name] = callee.of(scope);
        if (object === null || object === undefined) return object[name];
        return object[name](...values());
      };
    }

    list(end) {
      const all = [];
      while (!this.takes(end)) {
        all.push(this.expression());
        if (!this.is(end)) this.needs(',');
      }
      return all;
    }

    name() {
      const word = this.words[this.at];
      if (word === undefined || word.is !== 'name') throw new SyntaxError('a name is missing');
      this.at += 1;
      return word.text;
    }

    simple() {
      const word = this.words[this.at];
      if (word === undefined) throw new SyntaxError('it ends too early');
      this.at += 1;
      if (word.is === 'value') return constant(word.value);
      if (word.is === 'template') return word.run;
      if (word.is === 'name') return Object.hasOwn(LITERALS, word.text) ? constant(LITERALS[word.text]) : named(word.text);
      if (word.text === '(') {
        const inside = this.expression();
        this.needs(')');
        return inside;
      }
      if (word.text === '[') {
        const parts = this.list(']');
        return (scope) => parts.map((part) => part(scope));
      }
      if (word.text === '{') return this.object();
      throw new SyntaxError(`${word.text} is not understood here`);
    }

    object() {
      const pairs = [];
      while (!this.takes('}')) {
        const word = this.words[this.at];
        if (word === undefined || word.is === 'sign') throw new SyntaxError('a name is missing');
        this.at += 1;
        const key = allowed(word.is === 'name' ? word.text : String(word.value));
        pairs.push([key, this.takes(':') ? this.expression() : named(key)]);
        if (!this.is('}')) this.needs(',');
      }
      return (scope) => Object.fromEntries(pairs.map(([key, value]) => [key, value(scope)]));
    }
  }

  const parsed = new Map();

  function parse(text) {
    if (!parsed.has(text)) parsed.set(text, new Parser(text).statements());
    return parsed.get(text);
  }

  // ---- Alpine's two ways of asking
  document.addEventListener('alpine:init', () => {
    const stackOf = (element) => {
      const magics = {};
      Alpine.injectMagics(magics, element);
      return [magics, ...Alpine.closestDataStack(element)];
    };
    const told = (error, element, expression) => {
      console.warn(`Alpine: ${error.message}\n\n${expression}`, element);
      setTimeout(() => { throw error; }, 0);
    };
    Alpine.setEvaluator((element, expression) => {
      const stack = stackOf(element);
      return (receiver = () => {}, {scope = {}, params = []} = {}) => {
        try {
          const whole = Alpine.mergeProxies([scope, ...stack]);
          let value = typeof expression === 'function' ? expression : parse(expression)(whole);
          if (typeof value === 'function') value = value.apply(whole, params);
          if (value instanceof Promise) value.then(receiver).catch((error) => told(error, element, expression));
          else receiver(value);
        } catch (error) {
          told(error, element, expression);
        }
      };
    });
    Alpine.setRawEvaluator((element, expression, {scope = {}, params = []} = {}) => {
      const whole = Alpine.mergeProxies([scope, ...stackOf(element)]);
      const value = parse(expression)(whole);
      return typeof value === 'function' ? value.apply(whole, params) : value;
    });
  });
})();
