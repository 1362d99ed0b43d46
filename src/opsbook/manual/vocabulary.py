"""What the words of operations manuals mean, in the languages in which manuals are written.

Stems match at the beginning of a word, so that `restor` meets restore, restoring and restoration; Chinese, Japanese
and Korean words match anywhere.
"""

from __future__ import annotations

import re
from functools import cache

WORDS: dict[str, str] = {
    "backup": (
        "backup back-up snapshot dump copias respaldo sicherung datensicherung sauvegarde резервн "
        "бэкап 备份 備份 バックアップ 백업 cópia wal-archiv wal archiv pitr point-in-time"
    ),
    "backup-section": (
        "backup back-up respaldo copias sicherung datensicherung sauvegarde резервн бэкап 备份 "
        "備份 バックアップ 백업 cópias"
    ),
    "restore": "restor recover restaur recuper wiederherstell rücksicherung восстанов 恢复 復旧 복구 リストア 复原",
    "retention": (
        "retention retain keep kept retención conserva retenção aufbewahr conservation хранен срок "
        "保留 保存 보존 purge cleanup clean-up limpieza archiv"
    ),
    "metric": (
        "metric monitor kpi indicator threshold alert slo sla performance health golden signal métrica "
        "monitor umbral alerta indicador limiar schwell kennzahl überwach alarm метрик порог "
        "мониторинг показател оповещен 指标 监控 阈值 告警 监测 監視 アラート しきい値 메트릭 지표 임계 알림 모니터링"
    ),
    "alert": "alert alarm alerta warnung оповещен тревог 告警 报警 警报 アラート 알림 경고",
    "critical": (
        "critical crític kritisch критич 严重 紧急 緊急 重大 crítico page pager red emergency fatal severe "
        "긴급 심각 危险 urgent"
    ),
    "warning": "warn advertenc aviso amber yellow предупрежд 警告 注意 경고 주의 wichtig atenç atenci degraded",
    "normal": (
        "normal target goal healthy expected baseline good green objetivo esperado ziel sollwert soll "
        "норма цель целев 正常 目标 目標 정상 목표 ideal optimal acceptable range meta slo"
    ),
    "threshold": (
        "threshold alert limit umbral límite limite limiar schwell grenzwert порог 阈值 閾値 임계 "
        "critical trigger condition"
    ),
    "action": (
        "action response remediat mitigat acción acciones respuesta ação resposta maßnahme aktion "
        "reaktion действие реакция 操作 措施 处理 动作 対応 조치 runbook"
    ),
    "severity": (
        "severity priority severidad prioridad gravedad severidade prioridade schweregrad priorität "
        "dringlich критичност приоритет серьезност 级别 等级 优先级 重要度 심각도 등급 incident classification "
        "incident level classification レベル 레벨"
    ),
    "response": (
        "response respond acknowledg respuesta resposta reaktionszeit antwortzeit реакци ответ 响应 応答 "
        "対応 응답 reacción ack initial sla reaktion"
    ),
    "resolution": (
        "resol fix restore solution resolución solución resolução lösung behebung решен устранен "
        "解决 修复 解決 해결 mttr"
    ),
    "escalation": (
        "escalat escalam escalad escalon eskalat эскалац 升级 上报 エスカレーション 에스컬레이션 support tier "
        "support level on-call chain"
    ),
    "window": "maintenance downtime mantenimiento manutenç wartung техн обслужив 维护 保守 メンテナンス 유지보수 점검",
    "notice": (
        "notice notif advance announce aviso notifica anteceden vorlauf ankündig benachrichtig уведомл "
        "通知 提前 告知 공지 事前"
    ),
    "contact": (
        "contact phone call on-call escalation contacto contato teléfono telefone kontakt ansprech "
        "контакт связь 联系 联络 連絡 연락 support vendor"
    ),
    "checklist": (
        "checklist check list lista de verificación lista de verificação checkliste prüfliste "
        "чек-лист контрольный 检查清单 检查表 チェックリスト 체크리스트"
    ),
    "component": (
        "component service architecture componente servicio serviço arquitectura komponente dienst "
        "architektur компонент сервис архитектур 组件 服务 架构 構成 구성"
    ),
    "contents": (
        "table of contents contents tabla de contenidos índice sumário inhaltsverzeichnis содержание "
        "оглавление 目录 目次 목차 quick links toc related documentation references resources see also"
    ),
    "incident": "incident outage incidente störung vorfall инцидент 事件 故障 インシデント 장애 emergency",
    "objective": (
        "rto rpo recovery time objective recovery point objective tiempo de recuperación punto de "
        "recuperación wiederherstellungszeit wiederherstellungspunkt 恢复时间目标 恢复点目标 целевое время "
        "целевая точка"
    ),
    "prerequisite": (
        "prerequisite requirement before you requisito voraussetzung предварительн требован 前提 "
        "前置 先决 사전 prérequis pre-requisite"
    ),
    "process": (
        "procedure process plan runbook playbook steps workflow response recovery procedimiento "
        "proceso procedimento processo verfahren vorgehen ablauf порядок процедура шаги план 流程 步骤 步驟 "
        "操作 手順 절차"
    ),
    "several": (
        "procedures tasks operations issues playbooks runbooks scenarios problems common issues "
        "routines activities tareas procedimientos operaciones problemas escenarios tarefas "
        "procedimentos operações aufgaben verfahren probleme szenarien prozeduren задачи процедуры "
        "операции проблемы сценарии 任务 常见问题 场景 タスク 작업 checks maintenance"
    ),
}

# Titles of the parts that every entry of a manual has: they name no procedure of their own.
TEMPLATE = frozenset(
    """
    procedure procedures steps step process commands command example examples usage symptoms symptom signs
    investigation investigate diagnosis diagnostics diagnose diagnostic resolution resolve solution solutions
    fix fixes remediation mitigation mitigate verification verify validation validate prerequisites
    prerequisite requirements cause causes cause(s) description purpose overview when impact expected output
    result results note notes warning important actions action response detection detect immediate check
    checks run execute troubleshooting summary details manual_steps rollback prevention escalation follow-up
    cleanup recovery response_steps initial_response immediate_actions root_cause quick_fix quick_check
    debug_steps debug long-term_fix short-term_fix síntomas síntoma diagnóstico solución soluciones causa
    causas pasos procedimiento procedimientos resolución verificación requisitos ejemplo comandos prevención
    acciones descripción sintomas sintoma solução soluções passos procedimento resolução verificação exemplo
    symptome ursache ursachen diagnose lösung lösungen vorgehen schritte verfahren überprüfung prüfung
    voraussetzungen beispiel maßnahmen behebung befehle sofortmaßnahmen symptômes cause diagnostic solution
    étapes procédure vérification симптомы причина причины диагностика решение шаги порядок проверка команды
    пример действия 症状 现象 原因 诊断 解决方案 解决方法 解决 步骤 处理 处理步骤 排查 排查步骤
    验证 前提条件 检查 操作步骤 示例 命令 対処 対応 手順
    確認 対処法 診断 증상 원인
    해결 해결방법 해결책 진단 조치 확인 절차 대응
    """.split()  # noqa: SIM905
)


# Stages that are subjects as soon as a second word stands beside them: "Recovery Procedures", "Rollback Steps".
_SUBJECTS = frozenset({"recovery", "rollback", "cleanup", "escalation", "prevention", "troubleshooting"})


@cache
def _pattern(meaning: str) -> re.Pattern[str]:
    wide = sorted(_phrases(WORDS[meaning]), key=len, reverse=True)
    cjk = [re.escape(word) for word in wide if re.search(r"[\u3000-\u9fff\uac00-\ud7af]", word)]
    stems = [re.escape(word) for word in wide if not re.search(r"[\u3000-\u9fff\uac00-\ud7af]", word)]
    return re.compile("|".join([rf"(?<![^\W_])(?:{'|'.join(stems)})", *cjk]), re.I)


# Entries of more than one word, which the blank-separated tables above would cut apart.
_PHRASES = (
    "wal archiv",
    "support tier",
    "support level",
    "on-call chain",
    "table of contents",
    "tabla de contenidos",
    "incident classification",
    "incident level",
    "recovery time objective",
    "recovery point objective",
    "tiempo de recuperación",
    "punto de recuperación",
    "целевое время",
    "целевая точка",
    "lista de verificación",
    "lista de verificação",
    "check list",
    "before you",
    "see also",
    "quick links",
    "common issues",
    "golden signal",
    "related documentation",
)


def _phrases(words: str) -> list[str]:
    found = []
    for phrase in _PHRASES:
        if phrase in words:
            found.append(phrase)
            words = words.replace(phrase, " ")
    return found + words.split()


def says(text: str, meaning: str) -> bool:
    """Whether a text uses a word of this meaning."""
    return bool(_pattern(meaning).search(text))


def is_template(title: str) -> bool:
    """Whether a title names a part that any procedure has (symptoms, steps …), not a subject."""
    words = re.sub(r"[^\w\s()-]|^\s*(?:step\s*)?\d+[.)]?\s*", " ", title.lower()).split()
    if not words or len(words) > 5:
        return False
    if len(words) > 1 and _SUBJECTS & set(words):
        return False
    joined = "_".join(words)
    if joined in TEMPLATE or all(
        word in TEMPLATE or word in ("and", "&", "the", "y", "und", "e", "и", "of", "to", "if", "or", "manual")
        for word in words
    ):
        return True
    return len(words) <= 2 and words[0] in TEMPLATE and words[-1] in TEMPLATE
