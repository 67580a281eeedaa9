package main

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

type kind int

const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

// value is JSON as it was written: numbers keep their text.
type value struct {
	kind    kind
	truth   bool
	text    string // of a string, or of a number as written
	items   []value
	members map[string]value
}

var errJSON = errors.New("not JSON")

const deepest = 128

// parseJSON reads one value and nothing else, each member once in its object, no lone surrogate, 128 levels at most.
func parseJSON(source []byte) (value, error) {
	if !utf8.Valid(source) {
		return value{}, errors.New("not UTF-8")
	}
	p := &parser{source: source}
	v, err := p.value(1)
	if err != nil {
		return value{}, err
	}
	p.blanks()
	if p.at != len(p.source) {
		return value{}, errJSON
	}
	return v, nil
}

type parser struct {
	source []byte
	at     int
}

func (p *parser) blanks() {
	for p.at < len(p.source) && strings.IndexByte(" \t\r\n", p.source[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) next() byte {
	p.blanks()
	if p.at == len(p.source) {
		return 0
	}
	return p.source[p.at]
}

func (p *parser) take(sign byte) bool {
	if p.next() != sign || p.at == len(p.source) {
		return false
	}
	p.at++
	return true
}

func (p *parser) word(word string, v value) (value, error) {
	if !strings.HasPrefix(string(p.source[p.at:]), word) {
		return value{}, errJSON
	}
	p.at += len(word)
	return v, nil
}

func (p *parser) value(depth int) (value, error) {
	switch p.next() {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"':
		s, err := p.string()
		return value{kind: text, text: s}, err
	case 't':
		return p.word("true", value{kind: boolean, truth: true})
	case 'f':
		return p.word("false", value{kind: boolean})
	case 'n':
		return p.word("null", value{kind: null})
	}
	return p.number()
}

func (p *parser) object(depth int) (value, error) {
	if depth > deepest {
		return value{}, errors.New("too deep")
	}
	p.at++
	members := map[string]value{}
	if p.take('}') {
		return value{kind: object, members: members}, nil
	}
	for {
		if p.next() != '"' {
			return value{}, errJSON
		}
		name, err := p.string()
		if err != nil {
			return value{}, err
		}
		if _, twice := members[name]; twice {
			return value{}, fmt.Errorf("%q stands twice", name)
		}
		if !p.take(':') {
			return value{}, errJSON
		}
		if members[name], err = p.value(depth + 1); err != nil {
			return value{}, err
		}
		if p.take('}') {
			return value{kind: object, members: members}, nil
		}
		if !p.take(',') {
			return value{}, errJSON
		}
	}
}

func (p *parser) array(depth int) (value, error) {
	if depth > deepest {
		return value{}, errors.New("too deep")
	}
	p.at++
	v := value{kind: array}
	if p.take(']') {
		return v, nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
		if p.take(']') {
			return v, nil
		}
		if !p.take(',') {
			return value{}, errJSON
		}
	}
}

func (p *parser) string() (string, error) {
	p.at++
	var out strings.Builder
	for p.at < len(p.source) {
		c := p.source[p.at]
		p.at++
		switch {
		case c == '"':
			return out.String(), nil
		case c < 0x20:
			return "", errJSON
		case c != '\\':
			out.WriteByte(c)
		default:
			if err := p.escape(&out); err != nil {
				return "", err
			}
		}
	}
	return "", errJSON
}

func (p *parser) escape(out *strings.Builder) error {
	if p.at == len(p.source) {
		return errJSON
	}
	c := p.source[p.at]
	p.at++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		out.WriteByte("\"\\/\b\f\n\r\t"[i])
		return nil
	}
	if c != 'u' {
		return errJSON
	}
	unit, err := p.hex()
	if err != nil {
		return err
	}
	if !utf16.IsSurrogate(unit) {
		out.WriteRune(unit)
		return nil
	}
	if p.at+1 >= len(p.source) || p.source[p.at] != '\\' || p.source[p.at+1] != 'u' {
		return errors.New("lone surrogate")
	}
	p.at += 2
	low, err := p.hex()
	if err != nil {
		return err
	}
	whole := utf16.DecodeRune(unit, low)
	if whole == utf8.RuneError {
		return errors.New("lone surrogate")
	}
	out.WriteRune(whole)
	return nil
}

func (p *parser) hex() (rune, error) {
	if p.at+4 > len(p.source) {
		return 0, errJSON
	}
	n, err := strconv.ParseUint(string(p.source[p.at:p.at+4]), 16, 16)
	p.at += 4
	if err != nil {
		return 0, errJSON
	}
	return rune(n), nil
}

func (p *parser) digits() int {
	from := p.at
	for p.at < len(p.source) && p.source[p.at] >= '0' && p.source[p.at] <= '9' {
		p.at++
	}
	return p.at - from
}

func (p *parser) sign(signs string) bool {
	if p.at < len(p.source) && strings.IndexByte(signs, p.source[p.at]) >= 0 {
		p.at++
		return true
	}
	return false
}

func (p *parser) number() (value, error) {
	from := p.at
	p.sign("-")
	zero := p.at < len(p.source) && p.source[p.at] == '0'
	if n := p.digits(); n == 0 || (zero && n > 1) {
		return value{}, errJSON
	}
	if p.sign(".") && p.digits() == 0 {
		return value{}, errJSON
	}
	if p.sign("eE") {
		p.sign("+-")
		if p.digits() == 0 {
			return value{}, errJSON
		}
	}
	return value{kind: number, text: string(p.source[from:p.at])}, nil
}

// whole gives a number that is written in digits alone and has at most 53 bits.
func (v value) whole() (int64, bool) {
	if v.kind != number || strings.Trim(v.text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	return n, err == nil && n < 1<<53
}

func (v value) float() float64 {
	f, _ := strconv.ParseFloat(v.text, 64) // beyond the range it is an infinity
	return f
}

// admissible tells whether every number in it is what its double says.
func (v value) admissible() bool {
	switch v.kind {
	case number:
		f := v.float()
		return !math.IsInf(f, 0) && decimal(v.text) == decimal(shortest(f))
	case array:
		for _, item := range v.items {
			if !item.admissible() {
				return false
			}
		}
	case object:
		for name, member := range v.members {
			if name == "__proto__" || !member.admissible() {
				return false
			}
		}
	}
	return true
}

// decimal is the same for two texts exactly when they denote the same number.
func decimal(written string) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(written), "e")
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	integer, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(integer+fraction, "0")
	significant := strings.TrimRight(digits, "0")
	if significant == "" {
		return "0"
	}
	scale := new(big.Int)
	scale.SetString("0"+strings.TrimPrefix(exponent, "+"), 10)
	if strings.HasPrefix(exponent, "-") {
		scale.SetString(exponent, 10)
	}
	scale.Add(scale, big.NewInt(int64(len(digits)-len(significant)-len(fraction))))
	return sign + significant + "e" + scale.String()
}

// shortest is the text of a double by RFC 8785, which is that of ECMAScript.
func shortest(f float64) string {
	if f == 0 {
		return "0"
	}
	format := byte('f')
	if size := math.Abs(f); size < 1e-6 || size >= 1e21 {
		format = 'e'
	}
	written := strconv.FormatFloat(f, format, -1, 64)
	if mantissa, exponent, has := strings.Cut(written, "e"); has {
		// Go writes at least two digits.
		return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
	}
	return written
}

// canonical is the text by RFC 8785.
func (v value) canonical() string {
	switch v.kind {
	case null:
		return "null"
	case boolean:
		return strconv.FormatBool(v.truth)
	case number:
		return shortest(v.float())
	case text:
		return quoted(v.text)
	case array:
		parts := make([]string, len(v.items))
		for i, item := range v.items {
			parts[i] = item.canonical()
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	names := make([]string, 0, len(v.members))
	for name := range v.members {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return before(names[i], names[j]) })
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = quoted(name) + ":" + v.members[name].canonical()
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// before compares by UTF-16 code units.
func before(one, other string) bool {
	a, b := utf16.Encode([]rune(one)), utf16.Encode([]rune(other))
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return len(a) < len(b)
}

func quoted(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range s {
		if i := strings.IndexRune("\"\\\b\f\n\r\t", r); i >= 0 {
			out.WriteByte('\\')
			out.WriteByte(`"\bfnrt`[i])
		} else if r < 0x20 {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}
