// What the vectors cannot tell: positions of errors, integers at their limits, what differs from Jinja2 on purpose.
#include "text/jinja/template.h"

#include <gtest/gtest.h>

#include <thread>

#include "text/jinja/testing.h"

namespace ferrum::jinja {
namespace {

using Json = nlohmann::ordered_json;

TEST(Errors, NameLineAndColumn) {
  EXPECT_EQ(render("a\nb {{ 1 + }}"), "error: line 2, column 10: expected an expression, found '}}'");
  EXPECT_EQ(render("{% if x %}\n\n"), "error: line 2, column 1: expected '{% endif %}', found the end of the template");
  EXPECT_EQ(render("\n\n  {{ x.y }}"), "error: line 3, column 7: 'x' is undefined");
  EXPECT_EQ(render("{{ 1 }}\n{{ 'a' +\n 1 }}"),
            "error: line 2, column 8: unsupported operand types for +: 'str' and 'int'");
  EXPECT_EQ(render("{{ 'abc }}"), "error: line 1, column 4: this string has no closing quote");
  EXPECT_EQ(render("x {# y"), "error: line 1, column 3: this comment has no end '#}'");
  EXPECT_EQ(render("{{ (1] }}"), "error: line 1, column 6: unexpected ']'");
  EXPECT_EQ(render("{% nope %}"), "error: line 1, column 4: unknown statement 'nope'");
  EXPECT_EQ(render("{{ 1 | nope }}"), "error: line 1, column 8: there is no filter 'nope'");
  // Once, and where it happened: not again for each macro and loop around it.
  EXPECT_EQ(render("{% macro f(a) %}\n{{ a.b.c }}{% endmacro %}\n{% for i in [1] %}{{ f({}) }}{% endfor %}"),
            "error: line 2, column 7: 'dict object' has no attribute 'b'");
}

TEST(Errors, RaiseExceptionIsPassedOn) {
  EXPECT_EQ(render("\n{% if true %}{{ raise_exception('Only ' ~ 2 ~ ' roles!') }}{% endif %}"),
            "error: the chat template refuses this conversation: Only 2 roles!");
}

TEST(Errors, FilesAreOutOfReach) {
  for (const char* statement : {"include 'a'", "import 'a' as b", "from 'a' import b", "extends 'a'", "block a"}) {
    const std::string got = render("{% " + std::string(statement) + " %}");
    EXPECT_NE(got.find("a chat template stands alone"), std::string::npos) << got;
  }
}

TEST(Errors, InternalsAreOutOfReach) {
  // Undefined, as every attribute that is not there; anything done with it fails.
  EXPECT_EQ(render("{{ ''.__class__ }}{{ [].__init__ }}{{ range.__globals__ }}{{ ''.upper.__self__ }}"), "");
  EXPECT_TRUE(render("{{ ''.__class__.__mro__ }}").starts_with("error: "));
  EXPECT_TRUE(render("{{ '{0.__class__.__mro__}'.format('') }}").starts_with("error: "));
  EXPECT_TRUE(render("{{ ('' | attr('__class__')).x }}").starts_with("error: "));
}

TEST(Integers, OverflowIsAnError) {
  EXPECT_EQ(render("{{ 9223372036854775807 }}{{ -9223372036854775807 - 1 }}"),
            "9223372036854775807-9223372036854775808");
  for (const char* expression :
       {"9223372036854775807 + 1", "-9223372036854775807 - 2", "9223372036854775807 * 2", "2 ** 63", "10 ** 30",
        "-(-9223372036854775807 - 1)", "(-9223372036854775807 - 1) // -1", "(-9223372036854775807 - 1) | abs",
        "[9223372036854775807, 1] | sum", "1e300 | int", "'99999999999999999999' | int", "'%d' % 1e300"}) {
    const std::string got = render("{{ " + std::string(expression) + " }}");
    EXPECT_NE(got.find("64 bits"), std::string::npos) << expression << " gave " << got;
  }
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
  EXPECT_EQ(render("{{ 9223372036854775808 }}"), "error: line 1, column 4: this integer does not fit 64 bits");
  EXPECT_EQ(render("{{ 9007199254740993 == 9007199254740992.0 }}{{ 9007199254740993 > 9007199254740992.0 }}"),
            "FalseTrue");
}

TEST(Integers, JsonBeyond64BitsIsRefusedAndNotRounded) {
  EXPECT_EQ(render("{{ x }}", Json::parse(R"({"x": 9223372036854775807})")), "9223372036854775807");
  const std::string got = render("{{ x }}", Json::parse(R"({"x": [18446744073709551615]})"));
  EXPECT_EQ(got, "error: x: the integer 18446744073709551615 in the JSON does not fit 64 bits with sign");
}

TEST(Slices, AtTheLimitsOfIndices) {
  EXPECT_EQ(render("{{ 'abc'[::9223372036854775807] }}{{ 'abc'[::-9223372036854775807] }}"), "ac");
  EXPECT_EQ(render("{{ 'abc'[-9223372036854775807:9223372036854775807] }}"), "abc");
  EXPECT_EQ(render("{{ [1, 2][9223372036854775807] is defined }}"), "False");
  EXPECT_TRUE(render("{{ 'abc'[::0] }}").starts_with("error: "));
}

TEST(Generators, CanBeMeasuredAndIndexedUnlikeInPython) {
  EXPECT_EQ(render("{{ [1, 2, 3] | select('odd') | length }}{{ ([1, 2] | map('string'))[1] }}"), "22");
  // As in Python they are true even when empty, and empty when walked through a second time.
  EXPECT_EQ(render("{{ 't' if [] | select else 'f' }}"), "t");
  EXPECT_EQ(render("{% set g = [1] | map('string') %}{{ g | join }},{{ g | join }}"), "1,");
}

TEST(Mutation, ChangesTheRendersOwnCopyOnly) {
  const auto compiled =
      Template::compile("{% do xs.append(4) %}{% do xs.insert(0, 0) %}{{ xs }}{{ xs.pop() }}{{ xs.pop(0) }}");
  ASSERT_TRUE(compiled.is_ok());
  const Json context = Json::parse(R"({"xs": [1, 2]})");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(*compiled->render(context), "[0, 1, 2, 4]40");
  EXPECT_EQ(render("{% set d = {} %}{% do d.update({'a': 1}, b=2) %}{{ d }}{{ d.pop('a') }}{{ d.setdefault('c', 3) }}"),
            "{'a': 1, 'b': 2}13");
  EXPECT_EQ(
      render(
          "{% set l = [3, 1] %}{% do l.sort() %}{% do l.reverse() %}{% do l.extend([0]) %}{% do l.remove(1) %}{{ l }}"),
      "[3, 0]");
  EXPECT_EQ(render("{% set l = [1, 2] %}{% for x in l %}{% do l.append(x) %}{% endfor %}{{ l }}"), "[1, 2, 1, 2]");
}

TEST(Dicts, ManyKeysAreFoundAndKeepTheirOrder) {
  const std::string fill =
      "{% set d = {} %}{% for i in range(2000) %}{% do d.update({i: i, i ~ '': -i}) %}{% endfor %}";
  EXPECT_EQ(
      render(fill + "{{ d | length }} {{ d[1999] }} {{ d['1999'] }} {{ d[7.0] }} {{ 2000 in d }} {{ (d | list)[:4] }}"),
      "4000 1999 -1999 7 False [0, '0', 1, '1']");
  EXPECT_EQ(render(fill + "{% do d.pop(0) %}{{ 0 in d }}{{ d[1] }}{{ d | length }}"), "False13999");
}

TEST(Unicode, InvalidBytesAreHarmless) {
  EXPECT_EQ(render("\xff{{ '\xc3' | length }}{{ 'a\xe4\xb8z' | upper | length }}"),
            "\xff"
            "14");
  EXPECT_EQ(render("{{ '\\ud83e\\udd80' }}{{ '\\ud83e' }}"), "🦀\xEF\xBF\xBD");
}

TEST(Clock, FormatsTheGivenTime) {
  EXPECT_EQ(render("{{ strftime_now('%Y-%m-%d %H:%M %b %Q %-d %%') }}"), "2025-07-10 12:00 Jul %Q 10 %");
  EXPECT_EQ(render("{{ strftime_now('%9999999d%') }}"), "%9999999d%");
  EXPECT_EQ(render("{{ strftime_now('%Y') | length }}", Json::object(), {}), "4");  // the machine's own clock
}

TEST(Threads, OneTemplateRendersInMany) {
  const auto compiled = Template::compile("{% for x in xs %}{{ 'lit' ~ x | upper }}{% endfor %}");
  ASSERT_TRUE(compiled.is_ok());
  const Json context = Json::parse(R"({"xs": ["a", "b", "c"]})");
  std::vector<std::thread> threads;
  std::vector<int> good(4);
  for (size_t t = 0; t < good.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) good[t] += *compiled->render(context) == "litAlitBlitC" ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, std::vector<int>(4, 200));
}

}  // namespace
}  // namespace ferrum::jinja
